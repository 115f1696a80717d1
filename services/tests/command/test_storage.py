"""The bucket's address, and `s3 check` against a real S3 server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
import pytest

from services.command import configuration, storage
from services.command.data_folder import DataFolder
from services.command.mistake import Mistake
from services.command.storage import Bucket
from services.tests.command.s3_server import KEY, READER_KEY, READER_SECRET, SECRET, s3_server
from services.tests.free_port import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

NAME = "shares"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        client = _client(url)
        client.create_bucket(Bucket=NAME)
        yield url


def _client(url: str) -> S3Client:
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
    )


def _bucket(url: str) -> Bucket:
    return Bucket(NAME, "sharehouse/one", "us-east-1", url, KEY, SECRET)


@pytest.mark.timeout(180)
def test_a_usable_bucket_passes_and_nothing_is_left_there(url: str) -> None:
    said: list[str] = []
    storage.check(_bucket(url), said.append)
    assert said == [f"{url}/shares/sharehouse/one/ as ...0001", *(f"  {s}: ok" for s in _STEPS)]
    assert _client(url).list_objects_v2(Bucket=NAME)["KeyCount"] == 0


_STEPS = ("write", "read", "list", "delete")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"access_key_id": "nobody"}, r"write refused \(InvalidAccessKeyId\); correct AWS_ACCESS_KEY_ID"),
        ({"secret_access_key": "wrong"}, r"write refused \(SignatureDoesNotMatch\); correct AWS_SECRET_ACCESS_KEY"),
        (
            {"access_key_id": READER_KEY, "secret_access_key": READER_SECRET},
            r"write refused \(AccessDenied\); give this key the right s3:PutObject there",
        ),
    ],
)
def test_a_refusal_names_its_remedy(url: str, change: dict[str, str], reason: str) -> None:
    with pytest.raises(Mistake, match=reason) as mistake:
        storage.check(replace(_bucket(url), **change), lambda _: None)
    assert not any(secret in str(mistake.value) for secret in (SECRET, READER_SECRET))


def test_a_bucket_is_made_on_request(url: str) -> None:
    said: list[str] = []
    target = replace(_bucket(url), name="made-on-request", region="eu-west-1")
    storage.create(target, said.append)
    storage.check(target, said.append)
    storage.create(target, said.append)
    assert [line for line in said if line.startswith("bucket")] == [
        "bucket made-on-request: created",
        "bucket made-on-request: is there already",
    ]
    with pytest.raises(Mistake, match=r"create refused \(AccessDenied\); give this key the right s3:CreateBucket"):
        storage.create(
            replace(target, name="another", access_key_id=READER_KEY, secret_access_key=READER_SECRET), said.append
        )


def test_a_server_that_is_not_there_is_told_soon() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Mistake, match="correct AWS_S3_ENDPOINT"):
        storage.check(_bucket(f"http://127.0.0.1:{port}"), lambda _: None)


def test_what_clickhouse_would_not_follow_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    bucket = Bucket(NAME, "p/q", "eu-west-1", None, KEY, SECRET)
    assert storage._client(bucket).meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    monkeypatch.setenv("AWS_PROFILE", "another")
    with pytest.raises(Mistake, match="correct AWS_PROFILE"):
        storage.check(bucket, lambda _: None)


def test_addresses_for_clickhouse() -> None:
    bucket = Bucket(NAME, "p/q", "eu-west-1", None, KEY, SECRET)
    assert bucket.url == "https://shares.s3.eu-west-1.amazonaws.com/p/q/"
    assert replace(bucket, endpoint="http://127.0.0.1:8333").url == "http://127.0.0.1:8333/shares/p/q/"
    assert set(bucket.environment()) == {
        "STORAGE_S3_ENDPOINT",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    }
    assert SECRET not in repr(bucket)
    assert KEY not in repr(bucket)


def test_a_bucket_without_keys_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.bucket(configuration.load()) is None
    monkeypatch.setenv("AWS_S3_BUCKET", NAME)
    with pytest.raises(Mistake, match="AWS_S3_BUCKET is set but AWS_ACCESS_KEY_ID is not"):
        storage.bucket(configuration.load())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    made = storage.bucket(configuration.load())
    assert made is not None
    assert made.prefix.startswith("sharehouse/")
    assert not (tmp_path / "data").exists()
    DataFolder(tmp_path / "data").create()
    DataFolder(tmp_path / "data").keep_s3_prefix(made.prefix)
    assert storage.bucket(configuration.load()) == made
    monkeypatch.setenv("AWS_S3_PREFIX", "mine")
    chosen = storage.bucket(configuration.load())
    assert chosen is not None
    assert chosen.prefix == "mine"
