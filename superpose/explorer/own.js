// A result of one's own: models on named axes, with the figure and the claims that belong to them.

import { brief, slider, steady } from "./controls.js";
import { h } from "./dom.js";
import { exactLoss, hasExact } from "./exact.js";
import { nameOf, polytopes, principalAxes, project } from "./measures.js";
import { worldOf } from "./worlds.js";
import { barsView, directionsView, graphView, gramView, spaceView } from "./views.js";

/** @import { App } from "./app.js" */
/** @import { Model } from "./exact.js" */
/** @import { State } from "./state.js" */
/** @import { World } from "./worlds.js" */
