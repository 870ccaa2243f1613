/**
 * The page in a notebook's widget: it is in a frame, and tells its state in messages, as it is told.
 * @typedef {{get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   on(event: string, call: () => void): void, off(event: string, call: () => void): void}} WidgetModel
 */

/** @param {{model: WidgetModel, el: HTMLElement}} widget */
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "The superposition explorer";
  frame.setAttribute("sandbox", model.get("sandbox"));
  frame.allow = "clipboard-write; fullscreen";
  frame.style.cssText = `width: 100%; height: ${Number(model.get("height"))}px; border: 0`;
  frame.srcdoc = model.get("page");
  let said = ""; // by the page, which need not hear it again

  const tell = () => {
    const hash = model.get("state");
    if (hash !== said) frame.contentWindow?.postMessage({ superpose: "state", hash }, "*");
  };
  /** @param {MessageEvent} event */
  const hear = ({ source, data }) => {
    if (source !== frame.contentWindow || data?.superpose !== "state" || typeof data.hash !== "string") return;
    said = data.hash;
    model.set("state", said);
    model.save_changes();
  };
  frame.addEventListener("load", () => {
    said = ""; // it begins anew, also where a notebook moves it
    tell();
  });
  window.addEventListener("message", hear);
  model.on("change:state", tell);
  el.append(frame);
  return () => {
    window.removeEventListener("message", hear);
    model.off("change:state", tell);
  };
}

export default { render };
