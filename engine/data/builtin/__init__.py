"""The built-in 10,000: a subset of Fashion-MNIST, made by `scripts/make_builtin_subset.py`.

The first 1,000 training pictures of each class, and the first 100 held-out ones, in the order of
the original files. Copyright © 2017 Zalando SE, under the MIT licence in `LICENSE` beside this
file.
"""
