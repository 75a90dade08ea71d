"""What is refused for what is in it, whichever way it comes; `handlers` has what a role may do."""

from models import Employee, Salary
from tornado.web import HTTPError

from bzz.signals import before_commit, post_update_instance


@post_update_instance.connect_via(Employee, atomic=True)
def only_managers_move_people(updated_fields, handler):
    """In the transaction: what is raised here refuses the write, and nothing is stored."""
    moves = "department" in updated_fields
    if moves and handler is not None and handler.login.role != "manager":
        raise HTTPError(403)


# `before_commit` sees each write of the models, by whichever route, and by code as well.
@before_commit.connect_via(Employee)
@before_commit.connect_via(Salary)
def say_why(sender, writes):
    """A new salary, a move and an end need a reason; it stands in their events."""
    for write in writes:
        if _needs_reason(sender, write) and not write.context.reason:
            raise HTTPError(422, reason="Say why in X-Audit-Reason")


def _needs_reason(model, write) -> bool:
    if write.before is None:
        return False
    if write.after is None or model is Salary:
        return True
    return write.before["department"] != write.after["department"]
