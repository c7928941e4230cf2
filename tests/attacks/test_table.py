from lipnet.attacks import ATTACKS
from lipnet.options import tasks as schema


def test_the_table_has_the_names_that_the_schema_allows():
    assert tuple(ATTACKS) == schema.ATTACKS
    assert set(schema.FOOLBOX_ATTACKS) < set(ATTACKS)
