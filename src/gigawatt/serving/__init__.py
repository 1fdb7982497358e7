"""From traffic to chips, megawatts and dollars per token."""
