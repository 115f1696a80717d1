from __future__ import annotations

import re
from dataclasses import dataclass

# ClickHouse's own numbers (src/Common/ErrorCodes.cpp); those that this server raises itself.
BAD_ARGUMENTS = 36
UNKNOWN_SETTING = 115
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_FORMAT = 73
READONLY = 164
REQUIRED_PASSWORD = 194
TOO_MANY_SIMULTANEOUS_QUERIES = 202
QUERY_IS_TOO_LARGE = 272
CANNOT_DECOMPRESS = 271
TOO_LARGE_STRING = 131
SETTING_CONSTRAINT_VIOLATION = 452
ACCESS_DENIED = 497
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
AUTHENTICATION_FAILED = 516
UNSUPPORTED_METHOD = 1
UNKNOWN_EXCEPTION = 1002

NAMES = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
    READONLY: "READONLY",
    REQUIRED_PASSWORD: "REQUIRED_PASSWORD",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    TOO_LARGE_STRING: "TOO_LARGE_STRING_SIZE",
    SETTING_CONSTRAINT_VIOLATION: "SETTING_CONSTRAINT_VIOLATION",
    ACCESS_DENIED: "ACCESS_DENIED",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    INVALID_SESSION_TIMEOUT: "INVALID_SESSION_TIMEOUT",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    UNKNOWN_EXCEPTION: "UNKNOWN_EXCEPTION",
}

# After exceptionCodeToHTTPStatus.cpp of ClickHouse; any other code is 500.
STATUS_OF_CODES = {
    401: (REQUIRED_PASSWORD,),
    403: (192, 193, ACCESS_DENIED, 512, AUTHENTICATION_FAILED),
    400: (6, 25, 26, 27, 36, 38, 41, 43, 44, 53, 62, 72, 117, 168, 162, 427, 441, 675, 676, 16, 15, 49, 51, 167, 321),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336, 511, 370),
    408: (159,),
    413: (QUERY_IS_TOO_LARGE,),
    501: (NOT_IMPLEMENTED,),
    503: (76, 209, 439, TOO_MANY_SIMULTANEOUS_QUERIES),
}
STATUS_OF_CODE = {code: status for status, codes in STATUS_OF_CODES.items() for code in codes}

# What the engine finds wrong with a SETTINGS clause, it wraps once more: code before, version and name behind.
TOLD_TWICE = re.compile(r"(Code: \d+\. DB::Exception: )\1(.*?)(?: \(version [^()]*\)\. \(\w+\))?$", re.DOTALL)


@dataclass
class EngineError(Exception):
    """A statement failed: ClickHouse's error code, and the message as clickhouse-server writes it."""

    code: int
    message: str

    @classmethod
    def own(cls, code: int, text: str) -> EngineError:
        """An error that this server raises itself, written as ClickHouse writes its own."""
        return cls(code, f"Code: {code}. DB::Exception: {text}. ({NAMES[code]})")

    @classmethod
    def from_engine(cls, text: str) -> EngineError:
        """From the text of an exception of the engine: `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`."""
        text = TOLD_TWICE.sub(r"\1\2", text.strip())
        start = text.find("Code: ")
        if start < 0:
            return cls(BAD_ARGUMENTS, text)
        digits = text[start + 6 :].split(".", 1)[0]
        return cls(int(digits) if digits.isdigit() else BAD_ARGUMENTS, text[start:])

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse answers this error with."""
        return STATUS_OF_CODE.get(self.code, 500)
