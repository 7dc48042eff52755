"""Answers of S3 servers, whole and spoiled."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
LISTING = (
    f"{DECLARATION}<ListBucketResult {SPACE}><Name>b</Name><Prefix>p/</Prefix>"
    "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>t/1=</NextContinuationToken>"
    "<Contents><Key>p/a+b%2Bc</Key><LastModified>2013-05-24T00:00:00.000Z</LastModified>"
    "<ETag>&#34;9b2cf535f27731c974343645a3985328&#34;</ETag><Size>7</Size></Contents>"
    "<Contents><Key>p/x</Key><Size>0</Size></Contents></ListBucketResult>")
UPLOADS = (
    f"{DECLARATION}<ListMultipartUploadsResult {SPACE}><IsTruncated>true</IsTruncated>"
    "<NextKeyMarker>p/x</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>"
    "<Upload><Key>p/x</Key><UploadId>u1</UploadId>"
    "<Initiated>2013-05-24T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>")


def seeds():
    texts = {
        "listing": LISTING,
        "listing-cut": LISTING[:300],
        "listing-negative": LISTING.replace(">7<", ">-7<"),
        "uploads": UPLOADS,
        "error": f"{DECLARATION}<Error><Code>SlowDown</Code><Message>a &lt;b&gt; &amp; c</Message>"
                 "<Region>eu-west-1</Region></Error>",
        "upload-id": f"<InitiateMultipartUploadResult {SPACE}><UploadId>u</UploadId>"
                     "</InitiateMultipartUploadResult>",
        "completed": f"{DECLARATION}   \n<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag>"
                     "</CompleteMultipartUploadResult>",
        "doctype": "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "close-only": "</a>",
        "deep": "<a>" * 40,
        "references": "<a b='&quot;'>&#65;&#x10FFFF;&#xD800;</a>",
        "cdata": "<a><![CDATA[x]]></a>",
        "range": "bytes 0-9/100",
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "iso-date": "2013-05-24T00:00:00.000Z",
        "profile": "[default]\nregion = r\n[profile x]\ns3 =\n  endpoint_url = http://h # c\n",
        "empty": "",
    }
    for name, text in texts.items():
        yield name, text.encode()
