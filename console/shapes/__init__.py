"""The JSON of the management API: what is asked (`KeyCreate`, `KeyPatch`, …) and what is answered
(`KeyView`, …). `reading` makes the first of the bytes of a request.
"""
