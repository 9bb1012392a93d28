# find_package(unet-wgpu) then target_link_libraries(app unet-wgpu::unet-wgpu). Installed as PREFIX/lib/cmake/unet-wgpu.
get_filename_component(_unet_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET unet-wgpu::unet-wgpu)
  find_library(UNET_WGPU_LIBRARY NAMES unet_wgpu_c PATHS "${_unet_prefix}/lib" NO_DEFAULT_PATH REQUIRED)
  add_library(unet-wgpu::unet-wgpu UNKNOWN IMPORTED)
  set_target_properties(unet-wgpu::unet-wgpu PROPERTIES
    IMPORTED_LOCATION "${UNET_WGPU_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_unet_prefix}/include")
endif()
set(unet-wgpu_FOUND TRUE)
