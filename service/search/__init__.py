"""From an index's candidates to an answer: filtered, in order, with what it is to carry."""
