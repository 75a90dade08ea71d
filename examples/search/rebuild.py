"""Build the index anew from the whole history, beside the one in use, and switch over.

MONGODB_URI='…' python rebuild.py

For when `words_of` was changed.  Writers, searches and the worker go on meanwhile.
"""

from app import WORDS, for_worker, make_index
from mongoengine import get_db

FRESH = "fresh"


def main() -> None:
    """Rebuild, and say how much there was to do."""
    subscription = for_worker().subscription("search")
    beside = f"{WORDS}_{FRESH}"
    make_index(beside)
    done = subscription.replay(into=FRESH)  # cut off, it goes on where it was when called again
    get_db()[beside].rename(WORDS, dropTarget=True)
    # What was written since the end of the replay went into the old one.  It comes again.
    subscription.restart(done.position + 1)
    print(f"Rebuilt from {done.delivered} events.")


if __name__ == "__main__":
    main()
