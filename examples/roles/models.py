"""Who works here, what they earn, and who may log in."""

from mongoengine import Document, IntField, StringField

DEPARTMENTS = ["sales", "stock"]
ROLES = ["clerk", "manager", "auditor"]


class Login(Document):
    """Somebody who uses the API.  It has no routes: nobody makes themselves a manager."""

    name = StringField(primary_key=True)
    password = StringField(required=True)  # as passwords.hashed() gives it
    role = StringField(required=True, choices=ROLES)
    department = StringField(choices=DEPARTMENTS)  # of a clerk


class Employee(Document):
    """Somebody who works here.  Clerks see those of their own department."""

    number = StringField(primary_key=True)
    name = StringField(required=True)
    department = StringField(required=True, choices=DEPARTMENTS)
    phone = StringField()

    @classmethod
    def get_list_queryset(cls, queryset, handler):
        """What a request sees of the list; bzz asks this for the history across models too."""
        if handler.login.role == "clerk":
            return queryset(department=handler.login.department)
        return queryset

    @classmethod
    def get_instance_queryset(cls, model, queryset, instance_id, handler):
        """Whether a request sees one of them, live or deleted: what is not in it is a 404."""
        return cls.get_list_queryset(queryset, handler)


class Salary(Document):
    """What an employee earns: a document of its own, since others may see it.

    A field of `Employee` that is not shown could still be filtered and sorted by.
    """

    employee = StringField(primary_key=True)
    amount = IntField(required=True, min_value=0)
