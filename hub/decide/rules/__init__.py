"""Rules: pure functions from an event to a send. `expressions`: JMESPath within limits. `compiled`: a rule, ready to be
evaluated. `matching`: the rules that an event starts."""
