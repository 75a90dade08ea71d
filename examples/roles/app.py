"""An API with logins and roles.  README.md beside it says what to try."""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

import rules  # noqa: F401 - its receivers
import tornado.web
from handlers import Api, LoginForm, Logout, Token
from models import Employee, Login, Salary
from mongoengine import connect
from passwords import hashed

from bzz import embedded, flatten
from bzz.audit import Auditor

PORT = int(os.environ.get("PORT", "8888"))
# Without one of its own, sessions end with the process.
SECRET = os.environ.get("COOKIE_SECRET") or secrets.token_hex(32)

auditor = Auditor(actor=lambda handler: handler.current_user)
# Tracked before anything is written.  Of a password no event tells, of an amount that it changed.
auditor.track(Employee)
auditor.track(Login, exclude=["password"])
auditor.track(Salary, mask=["amount"])


def application() -> tornado.web.Application:
    """All routes.  Those of bzz are made on `Api`, so that its hooks guard them all."""
    models = [Api.routes_for("mongoengine", each, audit=auditor) for each in (Employee, Salary)]
    return tornado.web.Application(
        [
            *flatten([*models, auditor.routes()]),
            (r"/login/", LoginForm),
            (r"/logout/", Logout),
            (r"/token/", Token),
            (r"/", tornado.web.RedirectHandler, {"url": "/employee/", "permanent": False}),
        ],
        cookie_secret=SECRET,
        login_url="/login/",
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"samesite": "Lax"},
        template_path=str(Path(__file__).parent),
    )


def begin() -> None:
    """Make what is missing; in an empty database three logins, whose passwords are printed."""
    auditor.prepare()
    if Login.objects.first() is not None:
        return
    roles = {"cleo": "clerk", "mara": "manager", "aziz": "auditor"}
    passwords = {name: secrets.token_urlsafe(9) for name in roles}
    logins = [
        Login(name=name, role=role, department="sales", password=hashed(passwords[name]))
        for name, role in roles.items()
    ]

    def first_people() -> None:
        Login.objects.insert(logins)
        Employee(number="E-1", name="Ana", department="sales", phone="100").save()
        Employee(number="E-2", name="Rui", department="stock", phone="200").save()
        Salary(employee="E-1", amount=4711).save()

    auditor.write(first_people, reason="first start")
    for name, password in passwords.items():
        print(f"login: {name} {password}", flush=True)


async def main() -> None:
    """Serve until Ctrl-C."""
    with embedded.database("roles-data") as uri:
        connect("roles", host=uri)
        await asyncio.to_thread(begin)
        application().listen(PORT, "127.0.0.1")
        print(f"http://127.0.0.1:{PORT}/employee/E-1/history/", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
