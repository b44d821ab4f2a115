"""`keys`: every action, its keys, what it does."""

from __future__ import annotations

from ddpm_tui.cli.options import Json, print_json
from ddpm_tui.sanitize import clean


def keys(as_json: Json = False) -> None:
    """List the keys of the workbench, with your own in them.

    To change one, write its id into the config file: [keys] "sample.draw" = "d,enter".
    """
    from ddpm_tui.keys import VIEW_TITLES, names
    from ddpm_tui.preferences import load
    from ddpm_tui.report import table

    preferences = load()
    found = preferences.key_table
    if as_json:
        print_json(
            [
                {
                    "id": key.id,
                    "view": key.view,
                    "keys": list(key.names),
                    "help": key.help,
                    "changed": key.id in found.own,
                }
                for key in found.keys
            ]
        )
        return
    print(f"Your own keys go into {clean(str(preferences.path))} under [keys].")
    for view, title in VIEW_TITLES.items():
        rows = [
            [
                f"  {key.id}",
                " ".join(names.shown(name) for name in key.names),
                "yours" if key.id in found.own else "",
                key.help,
            ]
            for key in found.of(view)
        ]
        print("\n" + table([title, "KEYS", "", ""], rows, right=set()))
