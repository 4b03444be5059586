package edgeskin

import java.nio.ByteBuffer

/**
 * One plane of an image: a buffer's bytes from position to limit. A direct buffer is read in place.
 *
 * @param stride bytes from row to row; null where rows lie side by side.
 */
class Plane(val bytes: ByteBuffer, val stride: Int? = null) {
    constructor(bytes: ByteArray, stride: Int? = null) : this(ByteBuffer.wrap(bytes), stride)
}

/**
 * An image as it lies in memory.
 *
 * @param planes one; two for NV12 and NV21, three for I420. None is enough for `place`.
 * @param orientation EXIF orientation, 1 to 8: how to turn it upright.
 * @param matrix of the 4:2:0 formats, as is `range`.
 */
class Image(
    val format: PixelFormat,
    val width: Int,
    val height: Int,
    val planes: List<Plane> = emptyList(),
    val orientation: Int = 1,
    val matrix: ColorMatrix = ColorMatrix.BT601,
    val range: ColorRange = ColorRange.VIDEO,
) {
    constructor(format: PixelFormat, width: Int, height: Int, pixels: ByteArray) :
        this(format, width, height, listOf(Plane(pixels)))

    internal fun ints(): IntArray {
        val ofPlanes = (0..2).flatMap { i ->
            val plane = planes.getOrNull(i)
            listOf(plane?.stride ?: 0, plane?.bytes?.remaining() ?: -1)
        }
        return intArrayOf(format.code, width, height, orientation, matrix.code, range.code) + ofPlanes
    }

    companion object {
        /** The EXIF orientation of pixels that must be turned clockwise by `degrees` to be upright. */
        fun orientation(degrees: Int): Int = when (degrees) {
            0 -> 1
            90 -> 6
            180 -> 3
            270 -> 8
            else -> throw EdgeskinException("ES_BAD_ENUM", "rotation is $degrees, known are 0, 90, 180 and 270")
        }
    }
}

/** A plane whose samples lie `pixelStride` bytes apart, as Android's cameras give them. */
class SpacedPlane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * A YUV_420_888 frame. Chroma that lies interleaved in one memory, as most cameras write it, is read
 * in place as NV12 or NV21, planar chroma as I420; anything else is copied once.
 */
fun yuv420(
    width: Int, height: Int, y: SpacedPlane, u: SpacedPlane, v: SpacedPlane, orientation: Int = 1,
    matrix: ColorMatrix = ColorMatrix.BT601, range: ColorRange = ColorRange.FULL,
): Image {
    fun image(format: PixelFormat, vararg planes: Plane) =
        Image(format, width, height, listOf(*planes), orientation, matrix, range)

    val luma = if (y.pixelStride == 1) Plane(y.bytes, y.rowStride) else packed(y, width, height)
    if (u.pixelStride == 1 && v.pixelStride == 1) {
        return image(PixelFormat.I420, luma, Plane(u.bytes, u.rowStride), Plane(v.bytes, v.rowStride))
    }
    if (u.pixelStride == 2 && v.pixelStride == 2 && u.rowStride == v.rowStride) {
        interleaved(u.bytes, v.bytes)?.let { return image(PixelFormat.NV12, luma, Plane(it, u.rowStride)) }
        interleaved(v.bytes, u.bytes)?.let { return image(PixelFormat.NV21, luma, Plane(it, u.rowStride)) }
    }
    val (columns, rows) = width / 2 to height / 2
    return image(PixelFormat.I420, luma, packed(u, columns, rows), packed(v, columns, rows))
}

private fun interleaved(first: ByteBuffer, second: ByteBuffer): ByteBuffer? =
    if (!first.isDirect || !second.isDirect) null
    else Native.interleaved(first, first.position(), second, second.position(), second.remaining())

private fun packed(plane: SpacedPlane, columns: Int, rows: Int): Plane {
    val copy = direct(columns * rows)
    val start = plane.bytes.position()
    for (row in 0 until rows) {
        for (column in 0 until columns) {
            copy.put(plane.bytes.get(start + row * plane.rowStride + column * plane.pixelStride))
        }
    }
    copy.flip()
    return Plane(copy)
}

/**
 * Where an output's pixels came from: es_placement of edgeskin.h.
 *
 * @param crop left, top, right, bottom of the upright image that was resized to `resizedWidth` x
 *     `resizedHeight`; output pixel (x, y) shows its pixel (x + left, y + top).
 */
data class Placement(
    val imageWidth: Int, val imageHeight: Int, val orientation: Int, val crop: List<Float>,
    val resizedWidth: Int, val resizedHeight: Int, val left: Int, val top: Int, val width: Int, val height: Int,
) {
    internal constructor(n: IntArray, crop: DoubleArray) :
        this(n[0], n[1], n[2], crop.take(4).map(Double::toFloat), n[3], n[4], n[5], n[6], n[7], n[8])

    internal fun ints() =
        intArrayOf(imageWidth, imageHeight, orientation, resizedWidth, resizedHeight, left, top, width, height)

    internal fun reals() = crop.map(Float::toDouble).toDoubleArray()
}
