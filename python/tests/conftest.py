"""What tests share."""

import pytest

import stoadb


@pytest.fixture
def con():
    with stoadb.connect() as connection:
        yield connection
