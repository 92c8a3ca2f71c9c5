"""A sweep's folder in shared storage: gs://, s3://, file:// or memory://.

Everything works on a local copy of it, the mirror, so that training never waits for a network. Whoever takes a lock in
a mirror takes a lease in the storage too (in ``leases/`` there), and what that lock covers becomes as new as there;
what was changed is stored every few seconds, and when the lock is given back. So the storage is read and written where
a lock is taken, and nowhere else:

- the sweep's own lock covers its plan, the runs' configs, the forecast, the tables and the report;
- a run's lock, or a trunk's, covers its status, metrics and checkpoints. What others train is only looked at.

A checkpoint is one object, ``checkpoints/<step>.tar``, so that it is there whole or not at all; it is stored after the
metrics that lead up to it, and older ones are removed after that. So a process that is killed at any moment leaves a
state that others go on from. A network that fails is tried again, with one warning; training ends if its leases
lapse meanwhile, and goes on from what the mirror has, unless others have gone on from what the storage has.
"""
