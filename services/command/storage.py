"""The S3 bucket for old shares: its address, and a check that it can be used as ClickHouse will use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast
from uuid import uuid4

from services.command.data_folder import new_prefix
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType

    from services.command.configuration import Configuration

_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 15
_REMEDIES = {
    "NoSuchBucket": "create the bucket (sharehouse s3 check --create), or correct AWS_S3_BUCKET and AWS_REGION",
    "404": "that is no S3 server, or it has no such bucket: correct AWS_S3_ENDPOINT, or AWS_S3_BUCKET",
    "InvalidAccessKeyId": "correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "correct AWS_SECRET_ACCESS_KEY",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
}
_DENIED = frozenset({"AccessDenied", "403"})
_RIGHTS = {
    "create": "s3:CreateBucket",
    "write": "s3:PutObject",
    "read": "s3:GetObject",
    "list": "s3:ListBucket (on the bucket itself)",
    "delete": "s3:DeleteObject",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where one ClickHouse server keeps its old shares. `prefix` belongs to that server alone."""

    name: str
    prefix: str
    region: str
    endpoint: str | None
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """The full URL of the prefix, as ClickHouse's disk wants it; path style on a server that is not AWS."""
        base = (
            f"{self.endpoint}/{self.name}" if self.endpoint else f"https://{self.name}.s3.{self.region}.amazonaws.com"
        )
        return f"{base}/{self.prefix}/"

    def environment(self) -> dict[str, str]:
        """The variables that config/clickhouse/storage-s3.xml reads."""
        return {
            "STORAGE_S3_ENDPOINT": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
        }


def bucket(configuration: Configuration) -> Bucket | None:
    """The bucket that the settings name; None where they name none. Raises Mistake where something is missing.

    Writes nothing: whoever uses a prefix that the data folder does not hold yet keeps it there by `keep_s3_prefix`.
    """
    settings = configuration.settings
    if settings.aws_s3_bucket is None:
        return None
    keys = ("aws_access_key_id", "aws_secret_access_key")
    if missing := [name.upper() for name in keys if not getattr(settings, name).get_secret_value()]:
        raise Mistake(
            *(
                f"AWS_S3_BUCKET is set but {name} is not; set it, or unset AWS_S3_BUCKET to stay local"
                for name in missing
            )
        )
    return Bucket(
        name=settings.aws_s3_bucket,
        prefix=settings.aws_s3_prefix or configuration.data.s3_prefix() or new_prefix(),
        region=settings.aws_region,
        endpoint=settings.aws_s3_endpoint,
        access_key_id=settings.aws_access_key_id.get_secret_value(),
        secret_access_key=settings.aws_secret_access_key.get_secret_value(),
    )


def has_object(target: Bucket, name: str) -> bool:
    """Whether there is an object of this name below the prefix; '' is any. Raises Mistake where it cannot be told."""
    client = _client(target)
    prefix = f"{target.prefix}/{name}"
    found = _asked(target, "list", lambda: client.list_objects_v2(Bucket=target.name, Prefix=prefix, MaxKeys=1))
    return bool(found.get("KeyCount", len(found.get("Contents", []))))


def put_object(target: Bucket, name: str, content: bytes) -> None:
    """Write an object below the prefix. Raises Mistake."""
    client = _client(target)
    key = f"{target.prefix}/{name}"
    _asked(target, "write", lambda: client.put_object(Bucket=target.name, Key=key, Body=content))


def upload(target: Bucket, name: str, file: BinaryIO) -> None:
    """Write an object of any size below the prefix. Raises Mistake."""
    client = _client(target)
    key = f"{target.prefix}/{name}"
    _asked(target, "write", lambda: client.upload_fileobj(file, target.name, key))


def create(target: Bucket, say: Callable[[str], None]) -> None:
    """Make the bucket, unless it is there already. Raises Mistake."""
    client = _client(target)

    def made() -> bool:
        try:
            if target.endpoint or target.region == "us-east-1":
                client.create_bucket(Bucket=target.name)
            else:
                # AWS wants the region twice, but for its first.
                where = cast("BucketLocationConstraintType", target.region)
                client.create_bucket(Bucket=target.name, CreateBucketConfiguration={"LocationConstraint": where})
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            return False
        return True

    say(f"bucket {target.name}: {'created' if _asked(target, 'create', made) else 'is there already'}")


def check(target: Bucket, say: Callable[[str], None]) -> None:
    """Write, read, list and delete one small object under the prefix, and tell of each step. Raises Mistake."""
    client = _client(target)
    key = f"{target.prefix}/check-{uuid4().hex}"
    content = b"sharehouse s3 check\n"

    def read() -> None:
        if client.get_object(Bucket=target.name, Key=key)["Body"].read() != content:
            raise Mistake(f"S3 {target.name}: what was read is not what was written; is this an S3 server?")

    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("write", lambda: client.put_object(Bucket=target.name, Key=key, Body=content)),
        ("read", read),
        ("list", lambda: client.list_objects_v2(Bucket=target.name, Prefix=key, MaxKeys=1)),
        ("delete", lambda: client.delete_object(Bucket=target.name, Key=key)),
    )
    say(f"{target.url} as ...{target.access_key_id[-4:]}")
    for name, step in steps:
        _asked(target, name, step)
        say(f"  {name}: ok")


def _asked(target: Bucket, name: str, step: Callable[[], T]) -> T:
    """What S3 answers to one step. Raises Mistake that names the step and the remedy."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return step()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        missing = f"give this key the right {_RIGHTS[name]} there" if code in _DENIED else ""
        remedy = missing or _REMEDIES.get(code, "see the server's own log")
        raise Mistake(f"S3 {target.name}: {name} refused ({code}); {remedy}") from None
    except (BotoCoreError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise Mistake(
            f"S3 {target.name}: {name} failed ({reason}); correct AWS_S3_ENDPOINT or AWS_REGION, or the network"
        ) from None


def _client(target: Bucket) -> S3Client:
    # Half a second of every start, were it imported with this module.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
    except BotoCoreError as error:
        raise Mistake(f"S3 {target.name}: {error}; correct AWS_PROFILE, or unset it") from None
    return session.client(
        "s3",
        region_name=target.region,
        endpoint_url=target.endpoint,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        config=Config(  # type: ignore[call-arg]  # its types lack the first
            # ClickHouse knows none but AWS_S3_ENDPOINT.
            ignore_configured_endpoint_urls=True,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            retries={"max_attempts": 1},
            s3={"addressing_style": "path" if target.endpoint else "auto"},
            # Servers other than AWS often know no trailing checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
