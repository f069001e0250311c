"""The SMTP door: mail handed in by SMTP (RFC 6409), from a socket to a ``Submission``.

``server`` listens, ``session`` moves the bytes of one connection and keeps its deadlines, ``smtp.server`` has
the protocol, ``admission`` says who may, ``incoming`` gathers one mail, ``answers`` puts what became of it
into a reply. Mail goes the way of every other door: ``Service.submit``.
"""
