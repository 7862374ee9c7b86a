"""What is known of products before anybody bought them: category, and what is alike.

Products are alike when their names, categories and brands share words. It is what lets a new
product be brought to those who love its kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from nba.arrays import Ints, Reals
from nba.models.affinity.candidates.sources import cosine_neighbours
from nba.schema.words import UNKNOWN_CATEGORY

#: Words of letters and digits; each Chinese character is a word, pairs of words count too.
_TOKEN = r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+"
_TEXT_COLUMNS = ("name", "category", "brand")


@dataclass(frozen=True)
class Catalogue:
    """Products of a code space, as the catalogue knows them.

    Parameters
    ----------
    category : array of int of shape (products,)
        Code of the category, -1 where unknown.
    categories : polars.Series of str
        The categories behind the codes, sorted.
    similar : (products, products) sparse matrix
        Cosine of the most similar products by text; empty where there is no text.
    log_price : array of float of shape (products,)
        Log of the list price, NaN where unknown: for products that nobody bought yet.
    """

    category: Ints
    categories: pl.Series
    similar: sp.csr_matrix
    log_price: Reals

    @property
    def labels(self) -> pl.Series:
        """Return the categories, and an empty one at the end for "unknown"."""
        return self.categories.extend_constant(None, 1)

    def place(self, product: Ints) -> Ints:
        """Return where the category of each product stands in `labels`."""
        code = self.category[product]
        return np.where(code < 0, len(self.categories), code)

    @classmethod
    def build(
        cls, product_ids: pl.Series, products: pl.DataFrame | None, *, neighbours: int = 50
    ) -> Catalogue:
        """Build it for `product_ids` from a table with `product_id` and any text columns."""
        n = len(product_ids)
        empty = pl.Series("category", [], dtype=pl.String)
        if products is None:
            none = np.full(n, np.nan)
            return cls(np.full(n, -1), empty, sp.csr_matrix((n, n), dtype=np.float32), none)
        columns = [name for name in _TEXT_COLUMNS if name in products.columns]
        price = pl.col("price") if "price" in products.columns else pl.lit(None)
        table = (
            products.select(
                pl.col("product_id", *columns).cast(pl.String),
                price.cast(pl.Float64).alias("price"),
            )
            .with_columns(_known(name) for name in columns if name == "category")
            .unique("product_id", keep="any", maintain_order=False)
            .sort("product_id")
        )
        table = pl.DataFrame({"product_id": product_ids}).join(
            table, on="product_id", how="left", maintain_order="left"
        )
        categories, category = empty, np.full(n, -1)
        if "category" in columns:
            categories = table["category"].drop_nulls().unique().sort()
            codes = table["category"].replace_strict(
                categories, np.arange(len(categories)), default=-1, return_dtype=pl.Int64
            )
            category = codes.fill_null(-1).to_numpy().astype(np.int64)
        known_price = pl.when(pl.col("price") > 0).then(pl.col("price").log())
        log_price = table.select(known_price.fill_null(float("nan"))).to_series().to_numpy()
        return cls(category, categories, _similar(table, columns, neighbours), log_price)


def _known(name: str) -> pl.Expr:
    """Return the column, null where the feature view says that it is not known."""
    return pl.when(pl.col(name) != UNKNOWN_CATEGORY).then(name).alias(name)


def _similar(table: pl.DataFrame, columns: list[str], neighbours: int) -> sp.csr_matrix:
    n = len(table)
    if not columns:
        return sp.csr_matrix((n, n), dtype=np.float32)
    text = table.select(pl.concat_str([pl.col(c).fill_null("") for c in columns], separator=" | "))
    words = text.to_series().to_list()
    if not any(any(character.isalnum() for character in word) for word in words):
        return sp.csr_matrix((n, n), dtype=np.float32)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        token_pattern=_TOKEN, ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32
    )
    return cosine_neighbours(sp.csr_matrix(vectorizer.fit_transform(words).T), neighbours)
