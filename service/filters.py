Condition = tuple


def parse_filter(value):
    return ()
