"""What each offer that ships makes of a request: a file for each family of models."""

from collections.abc import Mapping

from tests.catalog.offers import flux, google, openai, openai_former, seedream
from tests.catalog.offers.shared import OfferKey, Table

TABLES: Mapping[OfferKey, Table] = {
    **openai.TABLES,
    **openai_former.TABLES,
    **google.TABLES,
    **flux.TABLES,
    **seedream.TABLES,
}
