"""The calls behind the public names of :mod:`benchmark`; every command of ``bench`` is one of them.

``running`` runs and measures, ``views`` shows what was run, ``parts`` is about methods, data sets and
pre-trained parts. Nothing is imported here, so that a table needs no torch.
"""
