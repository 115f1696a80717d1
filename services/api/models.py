"""The bodies of the API's answers. Names, types and units are a contract: further fields may come, none may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

if TYPE_CHECKING:
    from services.api.options import Coin

Rate5m = Annotated[float, Field(ge=0, description="Hash rate of the last 5 minutes, Gh/s", examples=[1861.84])]
Rate60m = Annotated[float, Field(ge=0, description="Hash rate of the last 60 minutes, Gh/s", examples=[1790.2])]
Rate24h = Annotated[float, Field(ge=0, description="Hash rate of the last 24 hours, Gh/s", examples=[1803.7])]
RateYesterday = Annotated[float, Field(ge=0, description="Hash rate of the previous UTC day, Gh/s", examples=[1777.1])]
Shares = Annotated[int, Field(ge=0, description="Accepted shares in the window", examples=[97])]
ShareValue = Annotated[
    float, Field(ge=0, description="Sum of the difficulty named by share_value_basis", examples=[1388261.0])
]
ShareValueActual = Annotated[float, Field(ge=0, description="Sum of actual_difficulty", examples=[1388261.0])]
ShareValueCredited = Annotated[float, Field(ge=0, description="Sum of credited difficulty", examples=[1302528.0])]
Reward = Annotated[
    str, Field(pattern=r"^\d+\.\d{8}$", description="Coins; 0 until a ledger exists", examples=["0.00000000"])
]
HashRateUnit = Annotated[Literal["Gh/s"], Field(description="The unit of every hash rate here")]
Basis = Annotated[
    Literal["actual", "credited"],
    Field(description="Which difficulty share_value fields sum: actual_difficulty, or the credited one"),
]


class Body(BaseModel):
    """What every answer is: exactly the fields that it names."""

    # What a route leaves unset is left out of the answer, never null.
    model_config = ConfigDict(extra="forbid")


class Health(Body):
    """Whether the API and the database behind it are there."""

    status: Literal["ok"]
    timestamp: Annotated[int, Field(description="Now, unix seconds", examples=[1749000000])]
    database: Literal["connected", "disconnected"]


class PoolFigures(Body):
    """Figures of one pool, or of all."""

    all_time_reward: Reward
    current_balance: Reward
    today_reward: Reward
    estimated_reward: Reward
    hash_rate_unit: HashRateUnit
    hash_rate_5m: Rate5m
    hash_rate_60m: Rate60m
    hash_rate_24h: Rate24h
    hash_rate_yesterday: RateYesterday
    low_workers: Annotated[int, Field(description="Always 0")]
    off_workers: Annotated[int, Field(ge=0, description="Workers seen in the last 24 hours that are not ok")]
    ok_workers: Annotated[int, Field(ge=0, description="Workers with a share in the last 10 minutes")]
    dis_workers: Annotated[int, Field(description="Always 0")]
    shares_5m: Shares
    shares_60m: Shares
    shares_24h: Shares
    shares_yesterday: Shares
    shares_value_5m: ShareValue
    shares_value_60m: ShareValue
    shares_value_24h: ShareValue
    shares_value_yesterday: ShareValue
    share_value_actual_5m: ShareValueActual
    share_value_actual_60m: ShareValueActual
    share_value_actual_24h: ShareValueActual
    share_value_actual_yesterday: ShareValueActual
    share_value_credited_5m: ShareValueCredited
    share_value_credited_60m: ShareValueCredited
    share_value_credited_24h: ShareValueCredited
    share_value_credited_yesterday: ShareValueCredited


class WorkerFigures(Body):
    """Figures of one worker with a share in the last 24 hours."""

    state: Annotated[Literal["ok", "offline"], Field(description="ok: the last share is less than 10 minutes old")]
    last_share: Annotated[int, Field(description="Its last accepted share, unix seconds", examples=[1749000553])]
    hash_rate_unit: HashRateUnit
    hash_rate_scoring: Annotated[Literal[0], Field(description="Always 0")]
    hash_rate_5m: Rate5m
    hash_rate_60m: Rate60m
    hash_rate_24h: Rate24h
    shares_5m: Shares
    shares_60m: Shares
    shares_24h: Shares
    share_value_5m: ShareValue
    share_value_60m: ShareValue
    share_value_24h: ShareValue
    share_value_actual_5m: ShareValueActual
    share_value_actual_60m: ShareValueActual
    share_value_actual_24h: ShareValueActual
    share_value_credited_5m: ShareValueCredited
    share_value_credited_60m: ShareValueCredited
    share_value_credited_24h: ShareValueCredited


class Workers(Body):
    """Workers by name."""

    workers: dict[str, WorkerFigures]


def pool_answer(coin: Coin) -> type[BaseModel]:
    """The model of /api/pool/stats: the figures stand under the coin's own name, which is a setting."""
    fields: dict[str, Any] = {
        "pool": (str, Field(description='The pool asked for, or "all"', examples=["all"])),
        coin: (PoolFigures, ...),
        "share_value_basis": (Basis, ...),
        "pools_included": (
            list[str],
            Field(
                default=[],
                description="Pools with an accepted share in the last 24 hours; only without `pool`",
                examples=[["high_diff", "normal"]],
            ),
        ),
    }
    return create_model("PoolAnswer", __base__=Body, __doc__="Figures of one pool, or of all.", **fields)


def workers_answer(coin: Coin) -> type[BaseModel]:
    """The model of /api/workers/stats."""
    fields: dict[str, Any] = {coin: (Workers, ...), "share_value_basis": (Basis, ...)}
    return create_model("WorkersAnswer", __base__=Body, __doc__="Figures of every worker that matches.", **fields)
