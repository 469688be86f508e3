"""What a person sees in a browser: enter the code, approve the sign-in, go back to the application."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:system-ui;max-width:26rem;margin:4rem auto}}
input,button{{font:inherit;padding:.4rem}}</style>
</head><body><h1>{title}</h1>{body}</body></html>"""
BUTTONS = (
    '<p><button name="decision" value="approve">Approve</button> '
    '<button name="decision" value="deny">Cancel</button></p>'
)


def page(title: str, body: str, status: int = 200) -> Response:
    """Give a page; `body` is HTML and has been escaped."""
    return HTMLResponse(PAGE.format(title=escape(title), body=body), status)


def device_form(user_code: str = "") -> Response:
    """Ask for the user code."""
    field = f'<p><input name="user_code" value="{escape(user_code)}" placeholder="Code" autofocus></p>'
    return page("Enter the code", f'<form method="post">{field}{BUTTONS}</form>')


def device_result(decided: int, decision: str, *, blocked: bool) -> Response:
    """Say what became of the code."""
    if blocked:
        text = "<p>AADSTS53003: access has been blocked by Conditional Access policies.</p>"
        return page("You cannot access this right now", text, 403)
    if not decided:
        return page("That code did not work", "<p>Check the code and try again.</p>", 400)
    done = "You have signed in" if decision == "approve" else "You have cancelled the sign-in"
    return page(done, "<p>You may close this window now.</p>")


def authorize_form(upn: str) -> Response:
    """Ask whether the application may sign the person in."""
    return page("Sign in", f'<p>{escape(upn)}</p><form method="post">{BUTTONS}</form>')


def return_to(redirect_uri: str, answer: dict[str, str], response_mode: str | None) -> Response:
    """Send the browser back to the application, by redirect or by a form that posts itself."""
    if response_mode != "form_post":
        joint = "&" if "?" in redirect_uri else "?"
        return RedirectResponse(f"{redirect_uri}{joint}{urlencode(answer)}", 302)
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in answer.items()
    )
    script = "<script>document.forms[0].submit()</script>"
    return page("Working…", f'<form method="post" action="{escape(redirect_uri)}">{fields}</form>{script}')
