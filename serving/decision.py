"""The decision: which promotions fit this consumer best on this site now. No I/O, no clock."""

from collections.abc import Callable
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history import history_vector
from features.weights import InteractionWeights
from models.errors import EmptyHistory
from models.projection import EVERY_PROMOTION, PooledScores, Projection
from models.recommender import Reading
from serving.answer import Decision, PresentedPromotion, Reason
from serving.creative import fill_in
from serving.guard.disclosure import Disclosure
from serving.live_model import LiveModel
from serving.reasons import Carried, Explanation, explain
from serving.shelf import Shelf
from serving.token import DecisionClaim, TokenSigner, ToldReason
from storage.reader import ConsumerRecord

_TOKEN_REASONS = 3
_TOKEN_TITLE_CHARS = 100


Among = NDArray[np.intp] | slice
"""Places of some promotions, or of all."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question, checked: `n` promotions for one consumer at one place."""

    site_id: str
    placement: str | None
    n: int
    now: datetime
    decision_id: str
    disclosure: Disclosure
    max_reasons: int
    names_consumer: bool = True
    """Whether the answer may say who the consumer is."""
    why_impersonal: str | None = None
    """Why nothing of the consumer is used, where it is for more than want of activity."""


class Ranking(msgspec.Struct, frozen=True, eq=False):
    """Promotions in their order: `order` is where the best are among what was pooled, best first."""

    strategy: str
    pooled: PooledScores
    order: NDArray[np.intp]
    reading: Reading | None
    reason: str | None


def decide(
    ask: Ask,
    record: ConsumerRecord,
    *,
    shelf: Shelf,
    model: LiveModel | None,
    signer: TokenSigner,
    on_ranked: Callable[[], object] | None = None,
) -> Decision:
    """Choose and create the promotions for one consumer.

    Parameters
    ----------
    record : what the consumer did, as far as it may be used on this site, and the audiences they belong to.
    shelf : the promotions of this site, projected onto the items that `model` knows.
    model : the champion; None while there is none.
    on_ranked : called once the promotions are in their order, before anything is told about them.
    """
    ranking = None if model is None else rank(ask, record, shelf=shelf, model=model)
    if on_ranked is not None:
        on_ranked()
    if model is None or ranking is None:
        return _nothing(ask, record, shelf=shelf, model=model)
    promotions = [
        _present(ask, record, at=at, rank=rank, ranking=ranking, shelf=shelf, model=model, signer=signer)
        for rank, at in enumerate(ranking.order.tolist(), start=1)
    ]
    return Decision(
        decision_id=ask.decision_id,
        consumer_id=_name(ask, record),
        site_id=ask.site_id,
        placement=ask.placement,
        strategy=ranking.strategy,
        model=model.info,
        promotion=promotions[0],
        promotions=promotions,
        reason=ranking.reason,
        decided_at=ask.now,
    )


def best(pooled: PooledScores, eligible: NDArray[np.bool_], *, n: int) -> NDArray[np.intp]:
    """Return where the `n` best of `eligible` are among the scores, best first.

    Ties go to the earlier place on the shelf (promotions are ordered by id). What the model knows
    nothing about comes after everything it knows, in that order, never with a made-up score.
    """
    scores = pooled.score
    if n == 1:
        at = scores.argmax()
        if eligible[at] and pooled.known[at]:
            return np.array([at])
    reachable = eligible & pooled.known
    scores = np.where(reachable, scores, np.float32(-np.inf))
    if n == 1 and reachable.any():
        return np.array([scores.argmax()])
    known = np.flatnonzero(reachable)
    if known.size > 4 * n:
        # Everything that reaches the n-th best score, so that ties are cut by place and not by chance. Of
        # negatives: numpy is ten times slower to find the greatest where most are equal and least.
        known = np.flatnonzero(scores >= -np.partition(-scores, n - 1)[n - 1])
    ranked = known[np.argsort(-scores[known], kind="stable")][:n]
    if ranked.size == n:
        return ranked
    unknown = np.flatnonzero(eligible & ~pooled.known)
    return np.concatenate([ranked, unknown[: n - ranked.size]])


def rank(ask: Ask, record: ConsumerRecord, *, shelf: Shelf, model: LiveModel) -> Ranking | None:
    """Rank what may be shown; None when nothing may."""
    if shelf.projection is None:
        return None
    reading = _read(ask, record, model=model)
    if reading is None:
        return _by_popularity(ask, record, shelf.projection, shelf=shelf, model=model)

    def may_show(among: Among) -> NDArray[np.bool_]:
        return _may_show(ask, record, shelf=shelf, among=among)

    found = rank_tailored(reading, shelf.projection, may_show, n=ask.n, weights=model.bundle.weights)
    return None if found is None else Ranking("tailored", *found, reading, None)


def rank_tailored(
    reading: Reading,
    projection: Projection,
    may_show: Callable[[Among], NDArray[np.bool_]],
    *,
    n: int,
    weights: InteractionWeights,
) -> tuple[PooledScores, NDArray[np.intp]] | None:
    """Rank for one history: the shortlist if there is one and enough of it may be shown, else everything.

    Parameters
    ----------
    may_show : which promotions among some may be shown, bool[n].

    Returns
    -------
    What was pooled, and where the best are in it, best first; None where nothing may be shown.
    """
    pooled = projection.shortlist(reading, weights, n=n)
    if pooled is not None:
        few = may_show(pooled.places)
        if np.count_nonzero(few) >= n:
            return pooled, best(pooled, few, n=n)
    eligible = may_show(EVERY_PROMOTION)
    if not eligible.any():
        return None
    scores = reading.score(projection.within)
    pooled = projection.pool(scores, history=reading.history, weights=weights)
    return pooled, best(pooled, eligible, n=n)


def _by_popularity(
    ask: Ask, record: ConsumerRecord, projection: Projection, *, shelf: Shelf, model: LiveModel
) -> Ranking | None:
    """Rank for a consumer who cannot be tailored to, and say why."""
    bundle, eligible = model.bundle, _may_show(ask, record, shelf=shelf)
    if not eligible.any():
        return None
    if ask.why_impersonal is not None:
        reason = ask.why_impersonal
    elif bundle.model.kind == "popularity":
        reason = "popularity is the model that serves"
    elif len(record.events):
        reason = f"nothing this consumer did recently is known to model version {model.info.version}"
    else:
        reason = "no activity of this consumer may be used here yet"
    pooled = projection.pool(bundle.popularity.prior[projection.within])
    return Ranking("popularity", pooled, best(pooled, eligible, n=ask.n), None, reason)


def _may_show(
    ask: Ask, record: ConsumerRecord, *, shelf: Shelf, among: Among = EVERY_PROMOTION
) -> NDArray[np.bool_]:
    return shelf.eligible(ask.now, placement=ask.placement, audiences=record.audiences, among=among)


def _read(ask: Ask, record: ConsumerRecord, *, model: LiveModel) -> Reading | None:
    """The consumer's history as the champion reads it; None where there is nothing that it can use."""
    bundle = model.bundle
    if bundle.model.kind == "popularity":
        return None
    try:
        return bundle.model.read(history_vector(record.events, bundle.items, bundle.weights, now=ask.now))
    except EmptyHistory:
        return None


def _nothing(ask: Ask, record: ConsumerRecord, *, shelf: Shelf, model: LiveModel | None) -> Decision:
    eligible = _may_show(ask, record, shelf=shelf)
    reason = "no model serves yet; `tailor train`, then `tailor promote`"
    if not eligible.any():
        reason = shelf.why_nothing(ask.now, placement=ask.placement)
    return Decision(
        decision_id=ask.decision_id,
        consumer_id=_name(ask, record),
        site_id=ask.site_id,
        placement=ask.placement,
        strategy="none",
        model=None if model is None else model.info,
        promotion=None,
        promotions=[],
        reason=reason,
        decided_at=ask.now,
    )


def _present(
    ask: Ask,
    record: ConsumerRecord,
    *,
    at: int,
    rank: int,
    ranking: Ranking,
    shelf: Shelf,
    model: LiveModel,
    signer: TokenSigner,
) -> PresentedPromotion:
    place = ranking.pooled.place(at)
    promotion = shelf.promotions[place]
    featured = ranking.pooled.featured_item(place)
    item = shelf.any_item(place) if featured is None else shelf.item(*model.bundle.items.pair(featured))
    # The best are always taken: the policy is deterministic, and its choice has the propensity 1.
    propensity = 1.0
    explanation = _explanation(ask, record, at=at, ranking=ranking, model=model)
    reasons = _reasons(ask, explanation.carried, shelf=shelf, model=model)
    title = fill_in(promotion.title, item) or ""
    claim = DecisionClaim(
        decision_id=ask.decision_id,
        promotion_id=promotion.promotion_id,
        site_id=ask.site_id,
        consumer_id=_name(ask, record),
        strategy=ranking.strategy,
        model_version=model.info.version,
        rank=rank,
        propensity=propensity,
        expires_at=signer.expiry(ask.now),
        title=title[:_TOKEN_TITLE_CHARS],
        reasons=[
            ToldReason(site_id=one.site_id, kind=one.kind, share=round(one.share, 3), item_id=one.item_id)
            for one in reasons[:_TOKEN_REASONS]
        ],
    )
    return PresentedPromotion(
        promotion_id=promotion.promotion_id,
        title=title,
        body=fill_in(promotion.body, item),
        image_url=promotion.image_url,
        landing_url=promotion.landing_url,
        code=promotion.code,
        item=item,
        score=None if featured is None else float(ranking.pooled.score[at]),
        rank=rank,
        propensity=propensity,
        decision_id=ask.decision_id,
        token=signer.sign(claim),
        reasons=reasons,
        signals=explanation.signals,
    )


def _name(ask: Ask, record: ConsumerRecord) -> str | None:
    return record.consumer_id if ask.names_consumer and record.consumer_id else None


def _explanation(
    ask: Ask, record: ConsumerRecord, *, at: int, ranking: Ranking, model: LiveModel
) -> Explanation:
    if ranking.reading is None:
        known = ranking.pooled.known[at]
        return Explanation([], {"popularity": 1.0} if known else {})
    return explain(
        model.bundle,
        ranking.reading,
        pooled=ranking.pooled,
        promotion_index=ranking.pooled.place(at),
        events=record.events,
        max_carried=ask.max_reasons,
    )


def _reasons(ask: Ask, carried: list[Carried], *, shelf: Shelf, model: LiveModel) -> list[Reason]:
    told = (
        ask.disclosure.tell(one, title=shelf.item(one.site_id, one.item_id).title, reach=model.bundle.reach)
        for one in carried
    )
    return [reason for reason in told if reason is not None]
