package edgeskin

/*
 * The choices of edgeskin.h by name. Any number can be given, so that a value from elsewhere, even
 * one that this version does not know, meets the library's own check.
 */

@JvmInline
value class PixelFormat(val code: Int) {
    companion object {
        val RGB = PixelFormat(0)
        val BGR = PixelFormat(1)
        val RGBA = PixelFormat(2)
        val BGRA = PixelFormat(3)
        val GREY = PixelFormat(4)
        val NV12 = PixelFormat(5)
        val NV21 = PixelFormat(6)
        val I420 = PixelFormat(7)
    }
}

@JvmInline
value class ColorMatrix(val code: Int) {
    companion object {
        val BT601 = ColorMatrix(0)
        val BT709 = ColorMatrix(1)
    }
}

@JvmInline
value class ColorRange(val code: Int) {
    companion object {
        val VIDEO = ColorRange(0)
        val FULL = ColorRange(1)
    }
}

@JvmInline
value class Fit(val code: Int) {
    companion object {
        val SQUASH = Fit(0)
        val SHORTEST_EDGE = Fit(1)
        val LETTERBOX = Fit(2)
    }
}

@JvmInline
value class Filter(val code: Int) {
    companion object {
        val NEAREST = Filter(0)
        val BOX = Filter(1)
        val BILINEAR = Filter(2)
        val HAMMING = Filter(3)
        val BICUBIC = Filter(4)
        val LANCZOS = Filter(5)
    }
}

@JvmInline
value class ElementType(val code: Int) {
    companion object {
        val UINT8 = ElementType(0)
        val INT8 = ElementType(1)
        val FLOAT32 = ElementType(2)
        val FLOAT16 = ElementType(3)
    }
}

@JvmInline
value class Layout(val code: Int) {
    companion object {
        val NHWC = Layout(0)
        val NCHW = Layout(1)
    }
}

@JvmInline
value class Activation(val code: Int) {
    companion object {
        val NONE = Activation(0)
        val SOFTMAX = Activation(1)
        val SIGMOID = Activation(2)
    }
}
