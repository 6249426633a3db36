"""`python -m interp_cli` is `vfi`."""

from interp_cli.cli import main

if __name__ == "__main__":
    main()
