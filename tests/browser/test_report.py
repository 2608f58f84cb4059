"""What a reader does with the page: look at it on any screen, sort, search, print."""

import pytest

WIDTHS = [360, 768, 1440]


def column(table, index):
    """The cells of a column as they are ordered now: numbers where they are numbers."""
    return table.evaluate(
        """(table, index) => Array.from(table.tBodies[0].rows, (row) => {
            const number = row.cells[index].querySelector("data");
            return number ? Number(number.value) : row.cells[index].textContent.trim();
        })""",
        index,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_but_tables_and_drawings_scrolls_sideways(open_page, screenshots, width, scheme):
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.screenshot(path=screenshots / f"report-{width}-{scheme}.png")
    page.screenshot(path=screenshots / f"report-{width}-{scheme}-whole.png", full_page=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overflowing = page.evaluate(
        """(width) => Array.from(document.querySelectorAll("body *"), (one) => {
            const inside = one.parentElement.closest(".scroll, .drawing, svg");
            const right = one.getBoundingClientRect().right;
            return !inside && right > width + 0.5 ? one.outerHTML.slice(0, 80) : null;
        }).filter(Boolean)""",
        width,
    )
    assert overflowing == []


def test_a_columns_head_sorts_by_mouse_and_by_keyboard(open_page):
    page = open_page()
    table = page.locator("table.sortable", has_text="Scores of every task").first
    last = table.locator("thead th").count() - 1
    head = table.locator("thead th").nth(last)
    before = column(table, last)
    assert before != sorted(before, reverse=True), "the order must have something to change"
    head.locator("button").click()
    assert column(table, last) == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert column(table, last) == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"

    names = column(table, 0)
    table.locator("thead th button").first.press("Space")
    assert column(table, 0) == sorted(names, key=str.lower)
    assert head.get_attribute("aria-sort") == "none"


def test_rows_stay_whole_when_they_are_sorted(open_page):
    page = open_page()
    table = page.locator("table.sortable", has_text="Scores of every task").first
    rows = lambda: {row.inner_text() for row in table.locator("tbody tr").all()}
    before = rows()
    table.locator("thead th button").nth(3).click()
    assert rows() == before


def test_the_search_field_filters_all_rows(open_page):
    page = open_page()
    search = page.locator("[data-search]").first
    rows = search.locator("tbody tr")
    everything = rows.count()
    assert everything > 20
    search.locator("input").fill("translate german")
    shown = [row for row in rows.all() if row.is_visible()]
    assert 0 < len(shown) < everything
    for row in shown:
        assert "translate" in row.inner_text().lower() and "german" in row.inner_text().lower()
    assert search.locator("output").inner_text() == f"{len(shown)} of {everything} rows"
    search.locator("input").fill("no row has this word")
    assert [row for row in rows.all() if row.is_visible()] == []
    search.locator("input").fill("")
    assert search.locator("details:visible").count() == search.locator("details").count()
    assert search.locator("details[open]").count() == 0


def test_lines_differ_without_colour_and_are_drawn(open_page):
    page = open_page()
    looks = page.evaluate(
        """() => Array.from(document.querySelectorAll(".legend"), (legend) =>
            Array.from(legend.querySelectorAll("line"), (line) =>
                getComputedStyle(line).strokeDasharray))"""
    )
    assert looks
    for dashes in looks:
        assert len(set(dashes)) == len(dashes)
    unpainted = page.evaluate(
        """() => Array.from(document.querySelectorAll("[class^=line], [class^=mark]"), (one) => {
            const style = getComputedStyle(one);
            return one.classList[0].startsWith("line") ? style.stroke : style.fill;
        }).filter((paint) => !paint.startsWith("rgb"))"""
    )
    assert unpainted == []


def test_text_can_be_read_on_its_ground(open_page):
    """At least the contrast that WCAG asks of text (4.5), in both schemes."""
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        ratios = page.evaluate(
            """() => {
                const channel = (value) => {
                    const share = value / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                };
                const light = (colour) => {
                    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(channel);
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const ground = light(getComputedStyle(document.body).backgroundColor);
                const names = ["p", ".note", ".quiet", ".up", ".down", ".right", ".wrong", "a", ".tag", "del"];
                return names.flatMap((name) => {
                    const one = document.querySelector(name);
                    if (!one) return [];
                    const text = light(getComputedStyle(one).color);
                    const [high, low] = text > ground ? [text, ground] : [ground, text];
                    return [[name, (high + 0.05) / (low + 0.05)]];
                });
            }"""
        )
        assert len(ratios) >= 7
        for name, ratio in ratios:
            assert ratio >= 4.5, f"{name}, {scheme}: {ratio}"


def test_it_prints_on_light_ground_without_what_only_works_on_a_screen(open_page, screenshots):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert not page.locator("[data-search] input").first.is_visible()
    pdf = page.pdf(path=screenshots / "report.pdf", format="A4")
    assert pdf.startswith(b"%PDF")


def test_everything_is_there_without_scripts(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("table.sortable").count() > 3
    assert page.locator("[data-search] tbody tr").count() > 20
    context.close()
