"""``postmerge comment-gitlab``: the reports on GitLab's merge requests, posted by a schedule of the default branch."""

from __future__ import annotations

import click

from mailer.commands.common import out
from mailer.core.errors import PostmergeError
from mailer.forges.gitlab import GitLabReports, post_reports


@click.command()
@click.option("--api", envvar="CI_API_V4_URL", required=True, metavar="URL", help="GitLab's API (CI_API_V4_URL).")
@click.option("--project", envvar="CI_PROJECT_ID", required=True, metavar="ID", help="The project (CI_PROJECT_ID).")
@click.option(
    "--token", envvar="POSTMERGE_GITLAB_TOKEN", required=True, metavar="TOKEN",
    help="An access token (POSTMERGE_GITLAB_TOKEN): role Reporter, scope api.",
)  # fmt: skip
def comment_gitlab(api: str, project: str, token: str) -> None:
    """Post the report of each open merge request on GitLab as one note, or renew it; runs nothing of the merge request.

    The report is what the job `report` of its newest pipeline uploaded. That of a fork is posted under a warning.

    Example: postmerge comment-gitlab
    """
    failed = 0
    for number, said, is_failure in post_reports(GitLabReports(api, project, token)):
        failed += is_failure
        out.print(f"!{number}: {said}", markup=False, soft_wrap=True)
    if failed:
        raise PostmergeError("Not all reports were posted: see above.")
