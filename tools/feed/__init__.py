"""What `feed_history.py` is made of.

changes   the file, and what it says of each record
naive     what else must be true then: plain Python, which shares nothing with bzz
client    HTTP
report    counts, differences, progress
stage     work that is shared among connections, and how documents are compared
feeding   write, read back, restore
reading   compare, blame, time travel
undoing   undo, and sets of records put back
proving   verify and rebuild, against the database itself
serving   the server that is fed
"""
