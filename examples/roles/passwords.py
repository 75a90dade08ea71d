"""Passwords, as they are kept: salted, and slow to guess.  Standard library alone."""

import hashlib
import hmac
import secrets

# Of the sizes that OWASP names; one guess takes 32 MB, and a fifth of a second.
COST = {"n": 2**15, "r": 8, "p": 3, "maxmem": 64 * 1024 * 1024}


def hashed(password: str) -> str:
    """What is stored of a password."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_digest(password, salt)}"


def is_right(password: str, stored: str) -> bool:
    """Whether it is the password of which `stored` was made."""
    salt, _, digest = stored.partition(":")
    return hmac.compare_digest(_digest(password, bytes.fromhex(salt)), digest)


def _digest(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, **COST).hex()
