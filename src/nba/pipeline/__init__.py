"""The use cases over ports: what the nightly job, the command line and the service share.

One module each: `features`, `train`, `score`, `plan`, `publish` walk a night; `preview`,
`explain` and `replay` look at a kept plan again. A `RunContext` says for which moment.
"""
