"""The pages in Airflow's own API server app, over a real warehouse: what each shows, to whom, and what it does not."""

from __future__ import annotations

import html
import re

import pytest

from tests.support.environment import ROOT as REPOSITORY
from tests.support.pages import OWN, ROOT
from tests.support.sync import Sync, referral

DAG = "partner_center_referral_sync"
AINO = {
    "firstName": "Aino",
    "lastName": "Laine",
    "email": "aino.laine@nordwind.example",
    "phoneNumber": "+358200000001",
}
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("https://evil.example")',
    "ش" * 40,
    "İstanbul Şişecam",
    "株式会社" * 9,
]


def customer(name, *members, **more):
    return {
        "customerProfile": {"name": name, "team": list(members), "address": {"country": "FI", "city": "Turku"}} | more
    }


@pytest.fixture
def sync(airflow_home, warehouse):
    """Store rows as the sync does."""
    from partner_center.warehouse import ensure_schema

    ensure_schema(REPOSITORY / "include" / "migrations", auto_migrate=True)
    return Sync(warehouse)


@pytest.fixture
def vic(client_of, variables, simulator, warehouse):
    """The browser of somebody who may only read."""
    return client_of("vic", "VIEWER")


@pytest.fixture
def olga(client_of, variables, simulator, warehouse):
    """The browser of an operator, who may edit DAGs."""
    return client_of("olga", "OP")


def text_of(answer):
    """Return a page's words as a person reads them, with plain spaces and none within numbers."""
    body = re.sub(r"(?s)<(script|style).*?</\1>", "", answer.text).replace("\N{NARROW NO-BREAK SPACE}", "")
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def get(client, path, status=200):
    answer = client.get(ROOT + path)
    assert answer.status_code == status, answer.text
    return answer


# The overview


def test_a_fresh_installation_says_what_to_do(vic):
    words = text_of(get(vic, "/"))
    assert "The tables are not there yet" in words
    assert "Switched off" in words
    for path in ("/inbox", "/domains", "/runs", "/quarantine", "/skipped"):
        assert "The next run of the sync makes them" in text_of(get(vic, path, 400))


def test_a_warehouse_that_is_away_does_not_take_the_overview_with_it(vic, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_PARTNER_CENTER_DB", "postgresql://nobody@127.0.0.1:9/nothing")
    assert "The warehouse is unavailable" in text_of(get(vic, "/"))
    assert "The warehouse is unavailable" in text_of(get(vic, "/inbox", 503))


def test_the_disasters_numbers_stand_on_the_overview(vic, run_sync):
    assert run_sync().state == "success"
    words = text_of(get(vic, "/"))
    for count in ("fetched 250", "eligible 88", "with domain 38", "without domain 50", "persisted 88", "88 inserted"):
        assert count in words
    assert "All is well" in words
    assert "s***@partner.example" in words


def test_what_needs_a_person_is_listed(vic, sync):
    sync(
        referral(1, expirationDateTime="2099-01-01T00:00:00Z"),
        referral(2, **customer("Two", {"email": "a@one.example"}, {"email": "b@two.example"})),
        "no JSON",
    )
    sync.warehouse.execute("update partner_center_referrals set expires_at = now() + interval '2 days'")
    words = text_of(get(vic, "/"))
    assert "Sign in to Partner Center" in words
    assert "2 unanswered referrals expire within 7 days" in words
    assert "1 open referral has several domains to choose from" in words
    assert "1 row in the quarantine" in words


def test_the_tab_of_a_dag(vic, monkeypatch):
    assert "nothing to do with Partner Center" in text_of(get(vic, "/?dag=somebody_elses"))
    assert "nothing to do" not in text_of(get(vic, f"/?dag={DAG}"))
    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_emea")
    answer = get(vic, f"/?dag={DAG}__emea", 303)
    assert answer.headers["location"] == f"{ROOT}/?connection=partner_center_emea"


def test_accounts_do_not_see_each_other(vic, sync, monkeypatch):
    from partner_center import warehouse
    from partner_center.accounts import Account

    monkeypatch.setenv("HUNTER_PARTNER_CENTER_CONNECTIONS", "partner_center_emea")
    sync(referral(1, **customer("Of the first")))
    with warehouse.tables_of(Account("partner_center_emea")):
        warehouse.ensure_schema(REPOSITORY / "include" / "migrations", auto_migrate=True)
        sync(referral(1, **customer("Of the second")))
    first, second = (text_of(get(vic, f"/inbox{query}")) for query in ("", "?connection=partner_center_emea"))
    assert ("Of the first" in first, "Of the second" in first) == (True, False)
    assert ("Of the first" in second, "Of the second" in second) == (False, True)


# The inbox


def test_the_inbox_pages_through_everything(vic, sync):
    sync(*(referral(number, **customer(f"Customer {number:03}")) for number in range(120)))
    page, seen = get(vic, "/inbox?sort=customer"), []
    while True:
        seen += re.findall(r"Customer \d{3}", text_of(page))
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        if following is None:
            break
        page = vic.get(html.unescape(following[1]))
    assert seen == [f"Customer {number:03}" for number in range(120)]
    assert "120 referrals" in text_of(page)


def test_a_view_stands_in_its_address(vic, sync):
    sync(referral(1, **customer("Nordwind Traders")), referral(2, status="Active", **customer("Contoso")))
    page = get(vic, "/inbox?status=active&q=CONTOSO&sort=customer&order=asc")
    words = text_of(page)
    assert ("Contoso" in words, "Nordwind" in words, "1 referral with this filter" in words) == (True, False, True)
    assert '<option value="Active" selected>' in page.text
    assert re.search(r"export\.csv\?status=active&amp;q=CONTOSO&amp;sort=customer&amp;order=asc", page.text)
    assert "No referral fits" in text_of(get(vic, "/inbox?q=nobody"))


@pytest.mark.parametrize("query", ["sort=password", "order=up", "after=garbage", "after=%00", "sort=value&after=W10="])
def test_an_address_that_somebody_made_up_is_refused_in_a_sentence(vic, sync, query):
    assert get(vic, f"/inbox?{query}", 400).text.count("box bad") == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_everywhere(olga, sync, name):
    sync(referral(1, name=name, **customer(name, {**AINO, "firstName": name})))
    for path in ("/inbox", "/referral?id=id-1", "/domains", "/domains/nordwind.example"):
        page = get(olga, path)
        assert name in text_of(page), path
        assert "<img" not in page.text


def test_an_id_may_hold_anything(vic, sync):
    for number, name in enumerate(["a/b", "../..", "a?b#c", "a b+c%2F", "<b>&\"'", "ид"]):
        sync(referral(1, id=name, **customer(f"Customer {number}")))
        (address,) = re.findall(
            rf'href="([^"]+)"[^>]*><bdi class="name" title="Customer {number}"', get(vic, "/inbox").text
        )
        assert f"Customer {number}" in text_of(vic.get(html.unescape(address)))


# One referral


def test_people_are_shown_to_those_who_may_edit_and_the_look_is_logged(vic, olga, sync, caplog):
    sync(referral(1, **customer("Nordwind", AINO), details={"notes": "Call Aino: aino.laine@nordwind.example"}))
    for page in (get(vic, "/referral?id=id-1"), get(vic, "/quarantine")):
        assert [secret for secret in ("Laine", "aino.laine", "358200000001") if secret in page.text] == []
    assert "looked at the contacts" not in caplog.text
    words = text_of(get(olga, "/referral?id=id-1"))
    assert "Aino Laine, aino.laine@nordwind.example, +358200000001".replace(",", " ,") in words
    assert "olga looked at the contacts of the referral id-1." in caplog.text


def test_a_referral_tells_its_life(vic, sync):
    row = referral(1, createdDateTime="2026-10-01T00:00:00Z", **customer("Nordwind", AINO))
    sync(row)
    sync(row | {"status": "Active", "substatus": "Accepted", "updatedDateTime": "2026-11-02T00:00:00Z"})
    words = text_of(get(vic, "/referral?id=id-1"))
    assert "status : New → Active" in words
    assert words.index("status : New") < words.index("first synced") < words.index("created in Partner Center")
    assert "nordwind.example (email)" in words
    assert "There is no such referral" in text_of(get(vic, "/referral?id=nobody", 404))


def test_a_persons_link_is_set_and_taken_back(olga, sync):
    sync(referral(1, **customer("Nordwind", AINO)))
    form = {"referral_id": "id-1", "domain": "https://www.contoso.com/about", "note": "as Ann says"}
    answer = olga.post(f"{ROOT}/links/set", data=form, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/referral?id=id-1")
    words = text_of(get(olga, "/referral?id=id-1"))
    assert "Linked by olga to contoso.com" in words
    assert "domain : nordwind.example → contoso.com" in words
    assert olga.post(f"{ROOT}/links/set", data={"referral_id": "id-1"}, headers=OWN).status_code == 303
    assert "Linked by olga to no domain" in text_of(get(olga, "/referral?id=id-1"))
    assert olga.post(f"{ROOT}/links/clear", data={"referral_id": "id-1"}, headers=OWN).status_code == 303
    assert sync.warehouse.value("select domain from partner_center_referrals") == "nordwind.example"


@pytest.mark.parametrize("domain", ["no domain", "gmail.com", "localhost", "x" * 299, "<b>"])
def test_what_is_no_domain_is_refused(olga, sync, domain):
    sync(referral(1))
    form = {"referral_id": "id-1", "domain": domain}
    assert "so nothing was changed" in text_of(olga.post(f"{ROOT}/links/set", data=form, headers=OWN))
    assert sync.warehouse.rows("select * from partner_center_link_overrides") == []


def test_a_link_of_no_referral_is_refused(olga, sync):
    for path in ("set", "clear"):
        answer = olga.post(f"{ROOT}/links/{path}", data={"referral_id": "nobody"}, headers=OWN)
        assert answer.status_code == 404
    assert sync.warehouse.rows("select * from partner_center_link_overrides") == []


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("https://crm.example/{referral_id}/{engagement_id}", "https://crm.example/id%2F1/e%201"),
        ("javascript:alert(1)", "https://partner.microsoft.com/dashboard/referrals/v2/leads"),
    ],
)
def test_the_way_to_partner_center_can_be_set(vic, sync, monkeypatch, setting, address):
    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_REFERRAL_LINK", setting)
    sync(referral(1, id="id/1", engagementId="e 1"))
    assert f'data-outside href="{address}"' in get(vic, "/referral?id=id/1").text


# Domains, runs, quarantine, skipped


def test_domains_sum_up(vic, sync):
    deal = {"details": {"dealValue": 1000.5, "currency": "EUR"}}
    sync(
        referral(1, **customer("Nordwind Oy", AINO), **deal),
        referral(2, **customer("Nordwind AB", AINO), **deal),
        referral(3, **customer("Contoso", {"email": "x@contoso.example"})),
    )
    words = text_of(get(vic, "/domains?q=NORDWIND"))
    assert "nordwind.example Nordwind AB , Nordwind Oy FI 2 2 2001 EUR" in words
    assert "contoso" not in words
    assert "2 referrals" in text_of(get(vic, "/domains/nordwind.example"))
    assert "No referral has this domain" in text_of(get(vic, "/domains/fabrikam.example", 404))


def test_domains_page_through_everything(vic, sync):
    rows = [referral(n, **customer(f"C {n}", {"email": f"a@customer-{n:03}.example"})) for n in range(70)]
    sync(*rows)
    first = get(vic, "/domains")
    following = re.search(r'rel="next" href="([^"]+)"', first.text)
    second = vic.get(html.unescape(following[1]))
    seen = [re.findall(r">(customer-\d{3}\.example)<", page.text) for page in (first, second)]
    assert [len(each) for each in seen] == [50, 20]
    assert len(set(seen[0] + seen[1])) == 70


def test_a_run_tells_what_it_did(vic, run_sync):
    run = run_sync()
    words = text_of(get(vic, "/runs"))
    assert "success full" in words
    assert "250 88 88 88 0" in words
    words = text_of(vic.get(re.search(rf'href="({ROOT}/runs/[^"?]+)"', get(vic, "/runs").text)[1]))
    assert run.run_id in words
    for line in (
        "fetched 250",
        "persisted 88",
        "skipped: status 162",
        "s***@partner.example",
        "tasks and logs in Airflow",
    ):
        assert line in words


def test_a_failed_run_gives_its_reason(vic, sync):
    sync(referral(1))
    sync.warehouse.execute("update partner_center_sync_runs set state = 'failed', reason = 'It broke <b>.'")
    assert "It broke <b>." in text_of(get(vic, "/runs?state=failed"))
    assert "No run is in this state" in text_of(get(vic, "/runs?state=success"))
    assert "failed : It broke <b>." in text_of(get(vic, "/runs/run-1"))
    assert "There is no such run" in text_of(get(vic, "/runs/nothing", 404))


def test_what_a_run_changed(vic, sync):
    sync(referral(1))
    sync(referral(1, status="Active", updatedDateTime="2026-11-02T00:00:00Z"))
    words = text_of(get(vic, "/runs/run-2"))
    assert "1 change of stored referrals" in words
    assert "id-1 status New Active" in words


def test_the_quarantine_hides_people_from_those_who_may_only_read(vic, olga, sync):
    whole = '{"id": "", "customerProfile": {"team": [{"firstName": "Aino", "email": "aino.laine@nordwind.example"}]}}'
    sync(whole, "aino.laine@nordwind.example is no JSON")
    shown = text_of(get(vic, "/quarantine"))
    assert ("no id" in shown, "aino.laine" in shown, "Aino" in shown, "nordwind" in shown) == (
        True,
        False,
        False,
        False,
    )
    shown = text_of(get(olga, "/quarantine"))
    assert ("aino.laine@nordwind.example is no JSON" in shown, "Aino" in shown) == (True, True)


def test_skipped_referrals_are_found_with_their_reason(vic, sync):
    sync(referral(1, status="Closed"), referral(2, direction="Outgoing"))
    words = text_of(get(vic, "/skipped"))
    assert "direction (1)" in words
    assert "id-1 status Incoming Closed" in words
    assert "id-1" not in text_of(get(vic, "/skipped?reason=direction"))
    assert "No skipped referral fits" in text_of(get(vic, "/skipped?q=id-3"))


def test_no_page_holds_a_script_of_its_own(olga, sync):
    sync(referral(1))
    for path in (
        "/",
        "/inbox",
        "/referral?id=id-1",
        "/domains",
        "/runs",
        "/runs/run-1",
        "/quarantine",
        "/skipped",
        "/sign-in",
    ):
        page = get(olga, path)
        assert set(re.findall(r"<script(?! src=\"/partner-center/static/)", page.text)) == set(), path
        assert re.findall(r"\s(?:on\w+|style)=", page.text) == [], path
        assert "script-src 'self';" in page.headers["content-security-policy"]
