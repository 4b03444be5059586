package edgeskin

import android.graphics.Bitmap
import android.graphics.ImageFormat
import androidx.camera.core.ImageProxy
import java.nio.ByteBuffer

/*
 * Android's pixels: pictures and camera frames. A frame's image is valid until the frame is closed.
 */

/** A bitmap's pixels, copied once: ARGB_8888 or ALPHA_8. Transparent pixels are blended with black. */
fun Bitmap.toImage(orientation: Int = 1): Image {
    val format = when (config) {
        Bitmap.Config.ARGB_8888 -> PixelFormat.RGBA // its bytes in memory
        Bitmap.Config.ALPHA_8 -> PixelFormat.GREY
        else -> throw EdgeskinException("ES_BAD_ENUM", "bitmaps of $config are not known here; copy to ARGB_8888 first")
    }
    val pixels = ByteBuffer.allocateDirect(byteCount)
    copyPixelsToBuffer(pixels)
    pixels.flip()
    return Image(format, width, height, listOf(Plane(pixels, rowBytes)), orientation)
}

/** A YUV_420_888 frame of Camera2 or an ImageReader; cameras write JFIF colours: BT.601, full range. */
fun android.media.Image.toImage(rotationDegrees: Int = 0): Image {
    requireYuv(format)
    val (y, u, v) = planes.map { SpacedPlane(it.buffer, it.rowStride, it.pixelStride) }
    return yuv420(width, height, y, u, v, Image.orientation(rotationDegrees))
}

/** A frame of CameraX's ImageAnalysis, with the rotation that it says. */
fun ImageProxy.toImage(): Image {
    val turn = Image.orientation(imageInfo.rotationDegrees)
    val spaced = planes.map { SpacedPlane(it.buffer, it.rowStride, it.pixelStride) }
    if (spaced.size == 1) { // OUTPUT_IMAGE_FORMAT_RGBA_8888
        return Image(PixelFormat.RGBA, width, height, listOf(Plane(spaced[0].bytes, spaced[0].rowStride)), turn)
    }
    requireYuv(format)
    return yuv420(width, height, spaced[0], spaced[1], spaced[2], turn)
}

private fun requireYuv(format: Int) {
    if (format != ImageFormat.YUV_420_888) {
        throw EdgeskinException("ES_BAD_ENUM", "frames of format $format are not known here, YUV_420_888 is")
    }
}
