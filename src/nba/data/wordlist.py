"""What columns and files of the tables are called elsewhere, for the draft of a mapping."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from nba.schema.tables import ATTRIBUTE_PREFIX, TABLES, Column, Kind


def plain_name(name: str) -> str:
    """Return a column's name in lower case with `_` for every run of other signs.

    >>> plain_name(" Lineitem sku"), plain_name("Product(s)"), plain_name("订单 编号")
    ('lineitem_sku', 'product_s', '订单_编号')
    """
    return re.sub(r"[\W_]+", "_", name.strip("\ufeff ").lower()).strip("_")


def folded_name(name: str) -> str:
    """Return a column's name in lower case without signs, and Latin letters without accents.

    >>> folded_name("Prix unitaire (€)"), folded_name("Quantité")
    ('prixunitaire', 'quantite')
    """
    return "".join(map(_base, re.sub(r"[\W_]+", "", name.lower())))


def _base(letter: str) -> str:
    first = unicodedata.normalize("NFKD", letter)[0]
    return first if first.isascii() else letter


def folded_text(text: str) -> str:
    """Return a text in lower case without accents, and with one way to write each letter.

    >>> folded_text("ANNULÉ Rückgabe")
    'annule ruckgabe'
    """
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = (one for one in letters if not "\u0300" <= one <= "\u036f")
    return unicodedata.normalize("NFC", "".join(plain))


def is_no_sale(text: str) -> bool:
    """Whether a cell says that its line is a return or was called off.

    >>> [is_no_sale(text) for text in ("Partially_Refunded", "已取消", "No refund", "未退款")]
    [True, True, False, False]
    """
    return _NO_SALE.search(folded_text(text)) is not None


@dataclass(frozen=True)
class Export:
    """The export of a known shop system.

    Parameters
    ----------
    table : str
    columns : dict of str to str
        Column of the contract to that of the export, in lower case without spaces.
    """

    table: str
    columns: dict[str, str]


#: Exports whose column names say less than their order does.
EXPORTS = (
    Export(
        "transactions",
        {
            "order_id": "name",
            "customer_id": "email",
            "product_id": "lineitemsku",
            "ts": "createdat",
            "quantity": "lineitemquantity",
            "unit_price": "lineitemprice",
            "attr_product_name": "lineitemname",
        },
    ),
)
#: What lines may say of their products.
LINE_ATTRIBUTES: dict[str, tuple[Column, ...]] = {
    "transactions": tuple(
        Column(f"{ATTRIBUTE_PREFIX}product_{name}", Kind.TEXT)
        for name in ("name", "category", "brand")
    )
}
#: Other names of columns, in the order of how much they say.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "order_id": ("orderid", "order", "invoice", "invoiceno", "invoiceid", "basketid", "basket",
                 "ticket", "ticketid", "receipt", "receiptid", "transactionid", "orderno",
                 "ordernumber", "billno", "订单号", "订单编号", "单号",
                 "小票号", "流水号", "bonnr", "belegnr", "auftragsnr",
                 "bestellnr", "commande", "ticketcaisse", "pedido", "numeropedido", "訂單編號",
                     "訂單號", "伝票番号", "注文番号", "주문번호", "номерзаказа", "заказ",
                     "ordine", "numeroordine",
                 "销售单号", "单据号", "单据编号", "订单id", "交易号"),
    "line_no": ("lineno", "line", "linenumber", "orderitemid", "itemno", "position", "行号"),
    "customer_id": ("customerid", "customer", "userid", "user", "memberid", "member", "clientid",
                    "householdkey", "household", "buyerid", "visitorid", "customerno", "openid",
                    "unionid", "会员号", "会员编号", "客户编号", "kundennr", "kundennummer",
                    "kunde",
                    "client", "idclient", "cliente", "idcliente", "codigocliente", "email",
                    "customeremail", "phone", "mobile", "手机号", "会员卡号", "顾客编号",
                     "會員編號", "會員號", "会員番号", "顧客番号", "회원번호", "고객번호",
                     "клиент", "кодклиента",
                 "会员id", "会员手机号", "买家会员名", "收货人手机号"),
    "product_id": ("productid", "product", "itemid", "item", "sku", "skuid", "stockcode",
                   "articleid", "article", "goodsid", "upc", "ean", "商品编码", "商品编号",
                   "货号", "款号",
                   "artikel",
                   "artikelnr", "artikelnummer", "produit", "reference", "producto", "produto",
                   "articulo", "codigo", "商品編號", "商品コード", "商品番号", "상품코드",
                     "артикул", "кодтовара", "articolo", "codicearticolo",
                 "商品货号", "商品条码", "条码", "商品id", "sku编码"),
    "ts": ("ts", "timestamp", "datetime", "date", "time", "orderdate", "invoicedate",
           "purchasedate", "transactiondate", "createdat", "ordertime", "saledate", "soldat",
           "tdat", "orderpurchasetimestamp", "下单时间", "交易时间",
           "日期", "时间", "付款时间", "销售日期", "订单日期",
           "datum", "zeitpunkt", "verkaufsdatum", "bestelldatum", "fecha", "data", "heure",
                     "訂購時間", "交易時間", "日付", "売上日", "販売日", "판매일", "주문일",
                     "дата", "датапродажи", "dataordine",
                 "销售时间", "支付时间", "创建时间", "订单创建时间", "成交时间"),
    "quantity": ("quantity", "qty", "units", "count", "pieces", "amountofitems", "numberofitems",
                 "数量", "menge", "anzahl", "stueck", "quantite", "cantidad", "quantidade", "數量",
                     "수량", "количество", "quantita",
                 "销售数量", "购买数量", "商品数量", "件数"),
    "unit_price": ("unitprice", "lineitemprice", "成交价", "售价", "price", "itemprice",
                   "sellprice", "pricepaid", "单价", "preis",
                   "einzelpreis", "stueckpreis", "prix", "prixunitaire", "precio", "preco", "單價",
                     "単価", "단가", "цена", "prezzo", "prezzounitario", "itemcost",
                 "商品单价", "商品单价元", "单价元", "销售单价"),
    "price": ("price", "listprice", "unitprice", "retailprice", "msrp", "单价", "vk",
              "vkpreis", "listenpreis", "preis", "prix", "precio", "preco"),
    "cost": ("cost", "unitcost", "purchaseprice", "成本"),
    "discount": ("discount", "discountamount", "rebate", "折扣金额", "优惠金额", "折扣", "rabatt",
                 "remise", "descuento"),
    "store_id": ("storeid", "store", "shopid", "shop", "branch", "branchid", "门店编号", "filiale",
                 "magasin", "tienda", "loja", "門市編號", "店舗コード", "매장", "магазин",
                     "negozio",
                 "门店", "店铺", "门店名称", "店铺名称"),
    "clerk_id": ("clerkid", "clerk", "employeeid", "staffid", "salesperson", "seller", "导购编号",
                 "导购", "导购员", "营业员", "店员"),
    "name": ("name", "title", "description", "productname", "prodname", "itemname", "storename",
             "名称", "商品名称", "bezeichnung", "artikelname", "libelle", "nombre", "nome"),
    "category": ("category", "categoryname", "categoryid", "producttype", "producttypename",
                 "department", "class", "productcategoryname", "品类", "warengruppe", "kategorie",
                 "categorie", "rayon", "categoria"),
    "brand": ("brand", "brandname", "manufacturer", "品牌", "marke", "marque", "marca"),
    "birthday": ("birthday", "birthdate", "dateofbirth", "dob", "生日", "geburtstag",
                 "geburtsdatum",
                 "naissance", "nacimiento"),
    "alias": ("alias", "nickname", "remark", "remarkname", "昵称", "备注名"),
    "external_id": ("externalid", "externaluserid", "外部联系人id"),
    "avatar": ("avatar", "avatarurl", "headimgurl", "头像"),
    "phone_tail": ("phonetail", "手机尾号", "手机后四位"),
    "image": ("image", "imageurl", "picture", "pictureurl", "商品图片", "主图"),
    "gender": ("gender", "sex", "性别", "geschlecht", "sexe", "sexo"),
    "city": ("city", "town", "customercity", "城市", "ort", "stadt", "ville", "ciudad", "cidade"),
    "joined_at": ("joinedat", "joindate", "registeredat", "registrationdate", "signupdate",
                  "membersince", "注册时间"),
    "kind": ("kind", "type", "event", "eventtype", "action"),
    "channel": ("channel", "saleschannel", "saleschannelid", "渠道"),
}  # fmt: skip
#: All of these, and the columns of the tables.
KNOWN_NAMES = frozenset(
    {folded_name(column.name) for table in TABLES.values() for column in table.columns}
    | {word for words in SYNONYMS.values() for word in words}
    | {word for export in EXPORTS for word in export.columns.values()}
)
#: Columns of discounts that hold a share of the price as often as money.
RATES = ("折扣", "折扣率")
#: What a cell says where its line is no sale, folded: how words begin, as regular expressions …
_NO_SALE_STEMS = (
    "refund", "return(?!ing)", "void", "cancel", "declin", "failed", "failure", "abandon",
    "charge ?back", "reversed", "reversal", "denied", "reject", "refus",
    "annul", "rembours", "retour", "anulad", "anulac", "devol[uv]", "devuelt", "reembols",
    "rechazad", "recusad", "estorn", r"reso\b", "rimbors", "rifiutat",
    "abgelehnt", "abgebrochen", "fehlgeschlagen", "widerruf",
    "возврат", "отмен", "аннулир",
)  # fmt: skip
#: … and parts of words, which German joins and others write without spaces.
_NO_SALE_PARTS = (
    "storno", "stornier", "stornat", "rue?ckgabe", "rue?cksend", "rue?ckzahl", "erstattet",
    "erstattung", "gutschrift",
    "退货", "退款", "取消", "作废", "关闭", "撤销", "拒收", "冲红", "红冲", "失败",
    "退貨", "作廢", "關閉", "撤銷", "失敗", "返品", "返金", "キャンセル", "取り消し",
    "반품", "취소", "환불",
)  # fmt: skip
#: What before such a word says that it was none, or that money is taken at the door.
_NO_SALE_DENIED = (
    "no", "non", "not", "never", "nicht", "kein", "keine", "nie", "sin", "sem", "sans", "senza",
    "pas", "contre", "contra", "contro", "не", "нет", "без",
)  # fmt: skip
_NO_SALE_DENIED_PARTS = ("无", "無", "未", "不", "不可", "不能", "没有", "沒有", "未申请", "无需")
_NO_SALE = re.compile(
    "".join(rf"(?<!\b{word}[\s_-])" for word in _NO_SALE_DENIED)
    + "".join(f"(?<!{part})" for part in _NO_SALE_DENIED_PARTS)
    + rf"((?<![^\W_])({'|'.join(_NO_SALE_STEMS)})|{'|'.join(_NO_SALE_PARTS)})"
)
#: What a file's name says of its table.
FILE_WORDS: dict[str, tuple[str, ...]] = {
    "transactions": ("transaction", "order", "sale", "line", "invoice", "purchase", "basket",
                     "receipt", "item", "订单", "交易", "销售", "零售", "verkauf", "umsatz", "bon",
                     "vente", "venta", "venda", "vendit", "訂單", "売上", "注文", "매출", "주문",
                     "продаж", "заказ"),
    "customers": ("customer", "user", "member", "client", "buyer", "household", "会员", "客户",
                  "kunde", "會員", "会員", "顧客", "회원", "고객", "клиент"),
    "products": ("product", "article", "item", "goods", "sku", "catalog", "商品", "artikel",
                 "produit", "producto", "produto", "prodott", "상품", "товар"),
    "stores": ("store", "shop", "branch", "门店", "filiale", "magasin", "tienda"),
    "clerks": ("clerk", "employee", "staff", "seller", "导购"),
    "categories": ("categor", "department", "aisle", "品类"),
    "stock": ("stock", "inventory", "库存", "庫存", "在庫", "재고", "остат", "estoque"),
    "interactions": ("interaction", "contact", "campaign", "message"),
    "responses": ("response", "click", "reply"),
}  # fmt: skip
