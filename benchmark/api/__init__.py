"""The calls behind the public names of :mod:`benchmark`; every command of ``bench`` is one of them.

``running`` runs and measures, ``views`` shows what was run, ``deploy`` uses what was kept, ``parts`` is
about methods and data sets. Nothing is imported here, so that a table needs no torch.
"""
