"""Takes: what a person does with the reverse process, as a recipe that can be performed again.

`recipe` says what there is to decide and `text` how it is written, both without torch; `path` lays
out the steps, `perform` takes them, `versus` sets a second lane beside, `files` keeps the result.
"""
