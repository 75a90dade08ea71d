"""`python -m bzz`: the command line."""

from bzz.cli.main import bzz

bzz()
