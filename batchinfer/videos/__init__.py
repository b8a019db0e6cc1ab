"""Videos as sources: pictures out of them at given times, decoded when they are sent.

`frame_rule` says which times, `frame_uris` how a frame is named, `FrameScheme` opens one. Rules:

* The frame of a time is the one that is seen then: the last one that begins at or before it. Times
  count from the first frame; a video of varying frame rate needs no other rule.
* It is turned as the video's metadata say, and sent as JPEG of quality 95, without subsampling of
  colours. The same versions of the libraries make the same bytes of it each time.
* A video is decoded forwards (`VideoReader`): frames in order cost no seeking, nor keeping.
* A video that cannot be read is one failed item; of one that breaks off, the frames behind it fail.
"""
