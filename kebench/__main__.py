"""`python -m kebench`, the same as `kebench`."""

from kebench.cli import main

if __name__ == "__main__":
    main()
