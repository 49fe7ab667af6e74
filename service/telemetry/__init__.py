"""What is seen from outside, beside metrics: logs, traces, and the stages of the work."""
