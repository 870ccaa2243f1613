"""One file an experiment. The folder is the list: there is nothing to register.

Each file has `Config`, `run(config) -> Dataset`, `figure(dataset) -> Figure` and
`claims(dataset) -> list[Claim]`; its docstring's first line says what it shows, `FIGURE` where
in the paper, `TAKES` how long on two cores, and `QUICK` holds the settings of its small version.
"""
