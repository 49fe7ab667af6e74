"""What every request comes through and every reply gets, before and after its route."""
