"""How good a run's pictures are: distances to real pictures, each beside its real-vs-real floor.

`evaluation` puts the figures together and `results` evaluates a run; the figures themselves are
small functions on tensors: `frechet`, `kernel`, `precision_recall`, `pixels`, `memorisation`.
`extractor` has the network whose features are compared, `inception` another one.
"""
