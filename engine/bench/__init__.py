"""How fast this machine trains and samples, by the article's loops and by ours.

`suite.bench` runs it all; `article_loop` is what is measured against, `ours` drives the engine as
a user does, `phases` and `peak` say where a step's time goes and what the machine could do.
"""
