from __future__ import annotations

import pytest

from batchinfer.backends.s3_errors import S3_ERROR_RULES, classify_s3_error


def judged(code: str, status: int):
    return classify_s3_error(code, status, name="ai4papi-1", host="minio.example.eu", verb="put")


@pytest.mark.parametrize(
    ("code", "status", "ours", "says"),
    [
        ("AccessDenied", 403, "s3_access_denied", "do not permit to put (AccessDenied)"),
        ("AllAccessDisabled", 403, "s3_access_denied", "list, get, put and delete"),
        ("InvalidAccessKeyId", 403, "s3_bad_credentials", "compare access key and secret key"),
        ("SignatureDoesNotMatch", 403, "s3_bad_credentials", "minio.example.eu"),
        ("403", 403, "s3_bad_credentials", "(403)"),
        ("401", 401, "s3_bad_credentials", "(401)"),
        ("NoSuchBucket", 404, "s3_no_bucket", "'ai4papi-1'"),
        ("InvalidBucketName", 400, "s3_no_bucket", "named like its service"),
        ("AuthorizationHeaderMalformed", 400, "s3_wrong_region", "set region"),
        ("PermanentRedirect", 301, "s3_wrong_region", "another region"),
        ("RequestTimeTooSkewed", 403, "s3_clock_skew", "set this machine's"),
        ("QuotaExceeded", 403, "s3_quota", "batchinfer clean"),
        ("XMinioAdminBucketQuotaExceeded", 400, "s3_quota", "larger quota"),
        ("XMinioStorageFull", 507, "s3_quota", "is full"),
        ("507", 507, "s3_quota", "is full"),
        ("NotImplementedHere", 400, "s3_refused", "refuses to put in 'ai4papi-1'"),
        ("405", 405, "s3_refused", "(405)"),
    ],
)
def test_what_no_other_try_mends_is_fatal_and_says_what_to_do(code, status, ours, says):
    error = judged(code, status)
    assert error is not None
    assert error.code == ours
    assert says in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SlowDown", 503),
        ("SlowDownRead", 503),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("XMinioServerNotInitialized", 503),
        ("RequestTimeout", 400),
        ("OperationAborted", 409),
        ("429", 429),
        ("408", 408),
        ("500", 500),
        ("502", 502),
        ("504", 504),
    ],
)
def test_what_a_restarting_store_says_may_pass(code, status):
    assert judged(code, status) is None


def test_no_code_stands_in_two_rows():
    every = [code for rule in S3_ERROR_RULES for code in rule.s3_codes]
    assert len(every) == len(set(every))
