"""Who is asking, and what they may do."""

import asyncio
import re

from models import Employee, Login, Salary
from passwords import hashed, is_right
from tornado.httputil import url_concat
from tornado.web import HTTPError, RequestHandler

from bzz import MongoEngineRestHandler

CHANGES = {"create", "update", "delete", "restore"}
LOOKS = {"list", "read", "history"}

RIGHTS = {
    "clerk": {Employee: {"list", "read", "update"}},
    "manager": {Employee: LOOKS | CHANGES, Salary: LOOKS | CHANGES},
    # Sees that a salary was changed, by whom and why; neither what it was nor what it is.
    "auditor": {Employee: LOOKS | {"feed"}, Salary: {"history", "feed"}},
}

SESSION = "session"
DAYS = 1


class Api(MongoEngineRestHandler):
    """Serves every route of both models, their histories, pages and live streams."""

    login: Login

    def get_current_user(self) -> str | None:
        """The name that the session's cookie was signed for, or the bearer token."""
        sent = self.request.headers.get("Authorization")
        # Who sends the header is not looked up by cookie: see check_xsrf_cookie.
        token = None if sent is None else sent.removeprefix("Bearer ")
        name = self.get_signed_cookie(SESSION, token, max_age_days=DAYS)
        return None if name is None else name.decode()

    def check_xsrf_cookie(self) -> None:
        """Cookies are sent by browsers on their own, for other sites too; tokens never are."""
        if "Authorization" not in self.request.headers:
            super().check_xsrf_cookie()

    async def prepare(self) -> None:
        """Before each verb.  The login is read each time: a role that was taken away is gone."""
        found = None
        if self.current_user is not None:
            found = await asyncio.to_thread(Login.objects(name=self.current_user).first)
        if found is not None:
            self.login = found
        elif self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", ""):
            self.redirect(url_concat(self.get_login_url(), {"next": self.request.uri}))
        else:
            raise HTTPError(401)

    def may(self, action, model, pk) -> bool:
        """Asked by every route for each document on its way, and for each model of `/history/`."""
        return action in RIGHTS[self.login.role].get(model, ())


class LoginForm(RequestHandler):
    """For people: a form, and a cookie."""

    def get(self) -> None:
        """The form; it holds the token without which no other site can send it."""
        self.render("login.html", failed=False)

    async def post(self) -> None:
        """Begin a session, and go where the browser came from."""
        name = await name_of(self)
        if name is None:
            self.set_status(403)
            self.render("login.html", failed=True)
            return
        secure = self.request.protocol == "https"
        self.set_signed_cookie(
            SESSION, name, expires_days=DAYS, httponly=True, samesite="Lax", secure=secure
        )
        self.redirect(_here(self.get_query_argument("next", "")))


class Logout(RequestHandler):
    """Ends the session of a browser."""

    def post(self) -> None:
        """Forget the cookie."""
        self.clear_cookie(SESSION)
        self.redirect(self.get_login_url())


class Token(RequestHandler):
    """For programs: the same, as a token to be sent as `Authorization: Bearer …`."""

    def check_xsrf_cookie(self) -> None:
        """Nothing is set in the browser, and other sites cannot read the answer."""

    async def post(self) -> None:
        """A token that is good for a day."""
        name = await name_of(self)
        if name is None:
            raise HTTPError(403)
        self.write({"token": self.create_signed_value(SESSION, name).decode()})


async def name_of(form: RequestHandler) -> str | None:
    """Whose name and password were sent; None where they do not belong together."""
    name, password = form.get_body_argument("name"), form.get_body_argument("password", strip=False)
    # Off the loop: a password takes long to check, and everybody else would wait.
    return name if await asyncio.to_thread(_knows, name, password) else None


_NOBODY = hashed("")


def _knows(name: str, password: str) -> bool:
    login = Login.objects(name=name).first()
    # A name that is not there takes as long as a wrong password, so nobody learns of names.
    return is_right(password, _NOBODY if login is None else login.password) and login is not None


def _here(path: str) -> str:
    """A path of this host: '//elsewhere' and its like would lead the browser away."""
    return path if re.fullmatch(r"/[\w][\x21-\x7e]*", path) else "/employee/"
