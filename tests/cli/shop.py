"""An application for commands that are processes of their own.

Told by its environment: MONGODB_URI; DATABASE; CHATTY, it prints something when it is loaded.
"""

from __future__ import annotations

import os

import mongoengine
from mongoengine import Document, IntField, StringField

from bzz.audit import Auditor

if "CHATTY" in os.environ:
    print("The application says something.")  # noqa: T201
mongoengine.connect(os.environ["DATABASE"], host=os.environ["MONGODB_URI"])


class Order(Document):
    number = StringField(primary_key=True)
    customer = StringField()
    total = IntField()


auditor = Auditor()
auditor.track(Order)
