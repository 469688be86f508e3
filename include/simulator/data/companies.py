"""Invented customers and people. The names are made up; a domain that exists would be chance."""

# The names are Turkish, among others: a dotless i is meant.
# ruff: noqa: RUF001
from __future__ import annotations

from typing import NamedTuple


class Company(NamedTuple):
    """A customer and the registrable domain of its mail."""

    name: str
    country: str
    city: str
    domain: str


COMPANIES = (
    Company("Zümrütkaya Metal Sanayi A.Ş.", "TR", "Bursa", "zumrutkayametal.com.tr"),
    Company("Brückmeier & Söhne Maschinenbau GmbH", "DE", "Bielefeld", "brueckmeier-maschinenbau.de"),
    Company("青嶺精工株式会社", "JP", "浜松市", "seireiseiko.co.jp"),
    Company("Thornwick Brass Fittings Ltd", "GB", "Wolverhampton", "thornwickbrass.co.uk"),
    Company("Satamalahti Logistiikka Oy", "FI", "Turku", "satamalahti.example"),
    Company("Pinecrest Hollow Foods Inc.", "US", "Boise", "pinecresthollowfoods.com"),
    Company("Çamlıtepe Lojistik Ltd. Şti.", "TR", "İzmir", "camlitepelojistik.com.tr"),
    Company("Gewürzhaus Ostertal KG", "DE", "Fulda", "gewuerzhaus-ostertal.de"),
    Company("霧島通商株式会社", "JP", "鹿児島市", "kirishimatsusho.co.jp"),
    Company("Marlow Fenn Surveyors LLP", "GB", "Ely", "marlowfenn.co.uk"),
    Company("Kuusiranta Energia Oy", "FI", "Oulu", "kuusirantaenergia.example"),
    Company("Larkspur Ridge Clinics LLC", "US", "Tucson", "larkspurridgeclinics.com"),
    Company("Güneşbulak Tekstil A.Ş.", "TR", "Denizli", "gunesbulaktekstil.com.tr"),
    Company("Härtling Präzisionstechnik AG", "DE", "Tuttlingen", "haertling-praezision.de"),
    Company("波留間食品工業株式会社", "JP", "高知市", "harumafoods.co.jp"),
    Company("Ashby Quill Publishing Ltd", "GB", "Leeds", "ashbyquill.co.uk"),
    Company("Järvenselkä Rakennus Oy", "FI", "Tampere", "jarvenselka.example"),
    Company("Tamarack Bend Outfitters Inc.", "US", "Duluth", "tamarackbend.com"),
    Company("Yıldızeli Soğutma Sistemleri A.Ş.", "TR", "Sivas", "yildizelisogutma.com"),
    Company("Klarwasser Anlagenbau Nordhausen GmbH", "DE", "Nordhausen", "klarwasser-anlagenbau.de"),
    Company("三ツ森電機株式会社", "JP", "長野市", "mitsumoridenki.co.jp"),
    Company("Copperfield Lane Nurseries Ltd", "GB", "Exeter", "copperfieldlane.co.uk"),
    Company("Merituuli Kalastus Oy", "FI", "Vaasa", "merituulikalastus.example"),
    Company("Quartz Valley Title & Escrow", "US", "Reno", "quartzvalleytitle.com"),
    Company("Irmakbaşı Gıda San. ve Tic. A.Ş.", "TR", "Konya", "irmakbasigida.com.tr"),
    Company("Sternkopf Medizintechnik GmbH", "DE", "Jena", "sternkopf-medizintechnik.de"),
    Company("若葉台印刷株式会社", "JP", "川崎市", "wakabadaiprint.co.jp"),
    Company("Penhallow Dry Docks Ltd", "GB", "Falmouth", "penhallowdocks.co.uk"),
    Company("Lumivaara Ohjelmistot Oy", "FI", "Joensuu", "lumivaara.example"),
    Company("Blue Heron Freight Partners", "US", "Savannah", "blueheronfreightpartners.com"),
    Company("Şahinbey Otomotiv Yan Sanayi A.Ş.", "TR", "Gaziantep", "sahinbeyotomotivyan.com.tr"),
    Company("Weidenbruch Papierfabrik GmbH & Co. KG", "DE", "Düren", "weidenbruch-papier.de"),
    Company("東雲倉庫株式会社", "JP", "江東区", "shinonomewarehouse.co.jp"),
    Company("Hartley Moor Dairies Ltd", "GB", "Kendal", "hartleymoordairies.co.uk"),
    Company("Kivikoski Kaivos Oy", "FI", "Kajaani", "kivikoskikaivos.example"),
    Company("Saddlerock Community Schools", "US", "Pueblo", "saddlerockschools.com"),
    Company("Gölbaşı Yazılım Danışmanlık Ltd.", "TR", "Ankara", "golbasiyazilim.com.tr"),
    Company("Federlein Optik GmbH", "DE", "Wetzlar", "federlein-optik.de"),
    Company("椿原建設株式会社", "JP", "熊本市", "tsubakihara.co.jp"),
    Company("Oakhanger Vale Vets Ltd", "GB", "Alton", "oakhangervalevets.co.uk"),
)
# First name, last name, local part of the address.
PEOPLE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "TR": (
        ("Ayşe", "Yıldırım", "ayse.yildirim"),
        ("Çağrı", "Öztürk", "cagri.ozturk"),
        ("İpek", "Işık", "ipek.isik"),
    ),
    "DE": (
        ("Jürgen", "Weiß", "juergen.weiss"),
        ("Käthe", "Brüggemann", "k.brueggemann"),
        ("Uwe", "Lang", "u.lang"),
    ),
    "JP": (("結衣", "佐々木", "y-sasaki"), ("大輔", "高橋", "d.takahashi"), ("Naoko", "Mori", "naoko.mori")),
    "GB": (
        ("Imogen", "Hale", "imogen.hale"),
        ("Rhys", "O'Connell", "r.oconnell"),
        ("Priya", "Nair", "priya"),
    ),
    "FI": (
        ("Aino", "Laine", "aino.laine"),
        ("Väinö", "Mäkelä", "vaino.makela"),
        ("Elli", "Salo", "elli.salo"),
    ),
    "US": (
        ("Dana", "Whitfield", "dwhitfield"),
        ("Luis", "Ortega", "luis.ortega"),
        ("Mei", "Chen", "mei.chen"),
    ),
}
