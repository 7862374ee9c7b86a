"""The nightly job and its steps, benchmarks, and the closed loop."""
